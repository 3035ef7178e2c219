"""Measures of recognizers."""
