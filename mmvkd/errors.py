"""Errors about what a run reads: clips, a pipeline's steps for them, checkpoints."""

from __future__ import annotations

import re


class UnreadableClipError(RuntimeError):
    """A video or frame folder of the data set that cannot be decoded."""


class UnfitPipelineError(ValueError):
    """A pipeline that gives every clip in a form that its next step cannot take."""


def reading_problem(error: Exception) -> str:
    """Why a checkpoint cannot be read, in a few words."""
    text = str(error).strip()
    refused = re.search(r'GLOBAL (\S+)', text)
    if refused:
        return f'it holds a {refused[1]}, which safe loading refuses'
    # PyTorch goes on for some lines
    return text.splitlines()[0].split('. ')[0] if text else type(error).__name__
