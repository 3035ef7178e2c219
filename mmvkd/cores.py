"""The processor cores of this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many cores this process may use: fewer than there are, in many a cluster."""
    usable = getattr(os, 'sched_getaffinity', None)  # not on every system
    return len(usable(0)) if usable else os.cpu_count() or 1
