"""What identifies a clip: class, split, seed and index; and its random streams."""

from __future__ import annotations

import numpy as np

REVERSAL_PAIRS: tuple[tuple[str, str], ...] = (
    ('move_left', 'move_right'),
    ('move_up', 'move_down'),
    ('move_up_left', 'move_down_right'),
    ('move_up_right', 'move_down_left'),
    ('rotate_cw', 'rotate_ccw'),
    ('grow', 'shrink'),
    ('horizontal_then_vertical', 'vertical_then_horizontal'),
)
"""Pairs of classes; a clip of the second is a clip of the first played backwards."""

CLASSES: tuple[str, ...] = tuple(name for pair in REVERSAL_PAIRS for name in pair)
"""Class names; the position is the label. Partners differ in the last bit."""

_MIRROR_PAIRS = (
    ('move_left', 'move_right'),
    ('move_up_left', 'move_up_right'),
    ('move_down_left', 'move_down_right'),
    ('rotate_cw', 'rotate_ccw'),
)

FLIP_LABEL_MAP: dict[int, int] = {
    CLASSES.index(a): CLASSES.index(b)
    for pair in _MIRROR_PAIRS
    for a, b in (pair, pair[::-1])
}
"""Labels that a horizontal flip changes, for MMAction2's ``Flip``; others stay."""

SPLITS: tuple[str, ...] = ('train', 'val', 'test')

LOOK, MOTION, NOISE, LABELS = range(4)  # independent random streams


def clip_label(split: str, index: int, seed: int = 0) -> int:
    """Give the label of clip ``index``: each block of indices holds each class once.

    Args:
        split: One of ``SPLITS``.
        index: Position of the clip in its split, >= 0.
        seed: Seed of the data set.

    Returns:
        Index into ``CLASSES``.
    """
    block, position = divmod(index, len(CLASSES))
    order = generator(seed, split, block, LABELS).permutation(len(CLASSES))
    return int(order[position])


def split_index(split: str) -> int:
    """Number of a split; an unknown one raises an error."""
    if split not in SPLITS:
        raise ValueError(f'Motions: split {split!r}, expected one of {SPLITS}')
    return SPLITS.index(split)


def generator(seed: int, split: str, index: int, stream: int) -> np.random.Generator:
    """Give the random ``stream`` of a clip; it never sees the label."""
    if seed < 0 or index < 0:
        raise ValueError(f'Motions: seed={seed}, index={index}, expected both >= 0')
    return np.random.default_rng([seed, split_index(split), index, stream])


def checked_label(label: int) -> int:
    """The label as an int; one out of range raises an error."""
    if not 0 <= label < len(CLASSES):
        raise ValueError(f'Motions: label {label}, expected 0 to {len(CLASSES) - 1}')
    return int(label)
