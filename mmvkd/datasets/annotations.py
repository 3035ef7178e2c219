"""What an annotation calls its clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def clip_path(info: Mapping[str, Any]) -> str:
    """The file of a clip or the folder of its frames; '' if neither is told.

    Args:
        info: What a data set's ``get_data_info`` gives.
    """
    return str(info.get('filename') or info.get('frame_dir') or '')


def clip_name(info: Mapping[str, Any]) -> str:
    """The same, or the clip's place in the list."""
    return clip_path(info) or str(info.get('sample_idx'))
