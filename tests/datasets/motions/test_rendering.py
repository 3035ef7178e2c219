"""Rendered clips of Motions differ by motion alone."""

from __future__ import annotations

import colorsys
from collections import Counter

import numpy as np
import pytest
from mmaction.datasets.transforms import Flip
from motion_toys import SMALL, label

from mmvkd.datasets.motions import (
    CLASSES,
    FLIP_LABEL_MAP,
    REVERSAL_PAIRS,
    SPLITS,
    Difficulty,
    Trajectory,
    pictures,
    render_clip,
    target_trajectory,
)

BARE = Difficulty(distractors=0, noise=0, background_motion=0, camera_jitter=0)


def displacement(clip: np.ndarray) -> tuple[float, float]:
    """Measure, in pixels, how far the moving part of a clip travels on the torus."""
    still = np.median(clip, axis=0)
    mass = np.abs(clip - still).sum(axis=3)  # (T, H, W)
    turns = np.exp(2j * np.pi * np.arange(clip.shape[2]) / clip.shape[2])
    along_x = (mass.sum(axis=1) * turns).sum(axis=1)
    along_y = (mass.sum(axis=2) * turns).sum(axis=1)
    moved = [
        np.angle(z[1:] / z[:-1]).sum() * clip.shape[2] / (2 * np.pi)
        for z in (along_x, along_y)
    ]
    return moved[0], moved[1]


def test_a_clip_is_a_pure_function_of_seed_split_and_index() -> None:
    clip = render_clip(0, 'train', 5, 1, **SMALL)
    render_clip(3, 'val', 6, 2, **SMALL)
    assert clip.shape == (8, 32, 32, 3) and clip.dtype == np.uint8
    assert np.array_equal(clip, render_clip(0, 'train', 5, 1, **SMALL))
    for other in (('train', 5, 2), ('train', 6, 1), ('val', 5, 1)):
        assert not np.array_equal(clip, render_clip(0, *other, **SMALL))


@pytest.mark.parametrize('pair', REVERSAL_PAIRS, ids='-'.join)
def test_a_clip_of_the_partner_class_is_the_same_clip_backwards(
    pair: tuple[str, str],
) -> None:
    first, second = (
        render_clip(label(name), 'val', 4, **SMALL, difficulty=Difficulty())
        for name in pair
    )
    assert np.array_equal(first[::-1], second)
    assert not np.array_equal(first, second)


def test_every_class_can_start_from_the_very_same_frame() -> None:
    first = [render_clip(label(a), 'test', 9, **SMALL)[0] for a, _ in REVERSAL_PAIRS]
    for frame in first[1:]:
        assert np.array_equal(first[0], frame)


@pytest.mark.parametrize(
    ('name', 'direction'),
    [
        ('move_left', (-1, 0)),
        ('move_right', (1, 0)),
        ('move_up', (0, -1)),
        ('move_down', (0, 1)),
        ('move_up_left', (-1, -1)),
        ('move_up_right', (1, -1)),
        ('move_down_left', (-1, 1)),
        ('move_down_right', (1, 1)),
    ],
)
def test_pixels_move_where_the_name_says_and_flips_follow_the_label_map(
    name: str, direction: tuple[int, int]
) -> None:
    clip = render_clip(label(name), 'train', 1, size=64, difficulty=BARE)
    flipped_name = CLASSES[FLIP_LABEL_MAP.get(label(name), label(name))]
    flipped_sign = ('right' in flipped_name) - ('left' in flipped_name)
    for frames, sign_x in ((clip, direction[0]), (clip[:, :, ::-1], flipped_sign)):
        moved = displacement(frames)
        for pixels, sign in zip(moved, (sign_x, direction[1])):
            if sign:
                assert pixels * sign > 0.4 * 64
            else:
                assert abs(pixels) < 0.1 * 64


def test_a_flipped_rotation_turns_the_other_way() -> None:
    # The pale half points along the angle: follow it from the center of the target.
    def turns(clip: np.ndarray, path: Trajectory, flip: bool) -> float:
        size = clip.shape[1]
        pale = clip.min(axis=3).astype(float)
        pale = np.where(pale > 160, pale, 0)
        grid = (np.arange(size) + 0.5) / size
        cx = 1 - path.x[0] if flip else path.x[0]
        dx, dy = (grid - cx + 0.5) % 1 - 0.5, (grid - path.y[0] + 0.5) % 1 - 0.5
        z = (pale * (dx + 1j * dy[:, None])).sum(axis=(1, 2))
        return float(np.angle(z[1:] / z[:-1]).sum() / (2 * np.pi))

    for name, sign in (('rotate_cw', 1), ('rotate_ccw', -1)):
        clip = render_clip(label(name), 'train', 1, size=64, difficulty=BARE)
        path = target_trajectory(label(name), 'train', 1, difficulty=BARE)
        assert sign * turns(clip, path, flip=False) > 0.5
        assert sign * turns(clip[:, :, ::-1], path, flip=True) < -0.5
        assert FLIP_LABEL_MAP[label(name)] == label(name) ^ 1


def test_mmaction_flip_applies_the_label_map() -> None:
    flip = Flip(flip_ratio=1.0, flip_label_map=FLIP_LABEL_MAP)
    for name, expected in (('move_left', 'move_right'), ('grow', 'grow')):
        clip = render_clip(label(name), 'train', 0, **SMALL)
        results = dict(
            imgs=list(clip.copy()),
            img_shape=(32, 32),
            modality='RGB',
            label=label(name),
        )
        results = flip(results)
        assert results['label'] == label(expected)
        assert np.array_equal(np.stack(results['imgs']), clip[:, :, ::-1])


def test_splits_share_no_shape_no_pattern_and_no_hue() -> None:
    for table in (pictures._SHAPES, pictures._PATTERNS):
        kinds = [set(table[split]) for split in SPLITS]
        assert all(kinds) and len(set.union(*kinds)) == sum(map(len, kinds))
    bands = []
    for split in SPLITS:
        rng = np.random.default_rng(0)
        hues = [pictures._draw_hue(rng, split) for _ in range(300)]
        bands.append({int(hue * 18) for hue in hues})
        assert len(bands[-1]) == 6
    assert not set.intersection(*bands) and len(set.union(*bands)) == 18


def test_rendered_targets_wear_only_the_hues_of_their_split() -> None:
    for number, split in enumerate(SPLITS):
        for index in range(6):
            clip = render_clip(0, split, index, size=64, num_frames=2, difficulty=BARE)
            values = clip.reshape(-1, 3).astype(int)
            vivid = values[
                (values.max(1) > 170) & (values.min(1) < 0.3 * values.max(1))
            ]
            assert len(vivid) > 50
            # Edges and texture blend colors; the fill is the most frequent vivid one.
            fill = Counter(map(tuple, vivid)).most_common(1)[0][0]
            hue = colorsys.rgb_to_hsv(*(v / 255 for v in fill))[0]
            assert int(hue * 18) % 3 == number


def test_difficulty_knobs_change_the_picture_and_not_the_path() -> None:
    easy = render_clip(0, 'train', 0, **SMALL, difficulty=BARE)
    noisy = Difficulty(
        distractors=0, noise=8, background_motion=0, camera_jitter=0, contrast=0.5
    )
    hard = render_clip(0, 'train', 0, **SMALL, difficulty=noisy)
    assert np.abs(easy.astype(int) - hard).mean() > 3
    for a, b in zip(
        target_trajectory(0, 'train', 0, difficulty=BARE),
        target_trajectory(0, 'train', 0, difficulty=noisy),
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(distractors=-1),
        dict(noise=-0.1),
        dict(contrast=0),
        dict(target_size=(0.5, 0.2)),
        dict(speed=(0, 1)),
        dict(background_motion=-1),
        dict(camera_jitter=-1),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_difficulty_is_named_in_the_error(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Difficulty(**wrong)
