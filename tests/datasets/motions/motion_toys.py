"""What the tests of Motions share."""

from __future__ import annotations

from mmvkd.datasets.motions import CLASSES

SMALL = dict(size=32, num_frames=8)


def label(name: str) -> int:
    return CLASSES.index(name)
