"""Widths of videos that decord cannot read."""

UNREADABLE_WIDTHS = (16, 24, 48, 72)
"""Decord gives frames of these widths, in pixels, too many channels, and then fails."""
