"""Classes of Motions: their names, labels, flips and paths."""

from __future__ import annotations

from collections import Counter

import numpy as np
from motion_toys import label

from mmvkd.datasets.motions import (
    CLASSES,
    FLIP_LABEL_MAP,
    REVERSAL_PAIRS,
    SPLITS,
    Difficulty,
    clip_label,
    target_trajectory,
)


def test_fourteen_classes_make_seven_disjoint_reversal_pairs() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 14
    assert [name for pair in REVERSAL_PAIRS for name in pair] == list(CLASSES)


def test_the_target_state_is_uniform_at_each_time_in_each_class() -> None:
    low, high = Difficulty().target_size
    for k in range(len(CLASSES)):
        paths = [target_trajectory(k, 'train', i, num_frames=3) for i in range(400)]
        for t in range(3):
            values = (
                [p.x[t] % 1 for p in paths],
                [p.y[t] % 1 for p in paths],
                [p.angle[t] / (2 * np.pi) % 1 for p in paths],
                [np.log(p.diameter[t] / low) / np.log(high / low) for p in paths],
            )
            for sample in values:
                # Kolmogorov-Smirnov distance to the uniform law; 1.95 / sqrt(n) is
                # passed by chance in 1 of 1000, and the draws here are fixed.
                steps = np.arange(1, 401) / 400
                assert np.abs(np.sort(sample) - steps).max() < 2.2 / 20


def test_the_order_of_events_is_what_tells_the_last_pair_apart() -> None:
    path = target_trajectory(label('horizontal_then_vertical'), 'train', 0)
    dx, dy = np.abs(np.diff(path.x)), np.abs(np.diff(path.y))
    assert dx[:10].min() > 0 and dy[:10].max() == 0
    assert dy[-10:].min() > 0 and dx[-10:].max() == 0


def test_every_class_moves_visibly_and_only_its_own_way() -> None:
    for k, name in enumerate(CLASSES):
        path = target_trajectory(k, 'train', 2)
        travel = np.hypot(np.diff(path.x), np.diff(path.y)).sum()
        turn = abs(path.angle[-1] - path.angle[0]) / (2 * np.pi)
        sizes = len(set(np.round(path.diameter, 9)))
        assert (travel > 0.5) == ('move' in name or 'then' in name), name
        assert (turn > 0.5) == ('rotate' in name), name
        assert (sizes > 1) == (name in ('grow', 'shrink')), name


def test_the_flip_map_is_an_involution_on_the_classes_with_a_side() -> None:
    assert all(FLIP_LABEL_MAP[b] == a for a, b in FLIP_LABEL_MAP.items())
    kept = [name for k, name in enumerate(CLASSES) if k not in FLIP_LABEL_MAP]
    assert kept == [
        'move_up',
        'move_down',
        'grow',
        'shrink',
        'horizontal_then_vertical',
        'vertical_then_horizontal',
    ]


def test_labels_are_balanced_in_each_block_and_shuffled() -> None:
    for split in SPLITS:
        labels = [clip_label(split, i, seed=7) for i in range(42)]
        assert set(Counter(labels).values()) == {3}
        assert labels[:14] != labels[14:28] and labels[:14] != sorted(labels[:14])
