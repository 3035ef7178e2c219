"""Teachers without a distiller."""

from __future__ import annotations

from typing import Any

from toys import tiny_tsm

from mmvkd.models import RecognizerTeacher

NOWHERE = '/nowhere/weights.pth'


def frozen(model: Any = None, checkpoint: str = 'random', **kwargs: Any):
    """A loaded teacher."""
    made = RecognizerTeacher(model or tiny_tsm(), checkpoint, **kwargs)
    made.attach('t', {'backbone': None})
    made.load()
    return made
