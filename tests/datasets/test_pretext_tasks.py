"""What pretext tasks ask."""

from __future__ import annotations

import numpy as np
import pytest
from pretext_toys import (
    COUNTS,
    asked,
    every_task,
    numbered,
    numbers,
    sampled,
    scene,
    task,
)

from mmvkd.datasets.transforms.pretext.registration import CLASSES


@every_task
@pytest.mark.parametrize(('frames', 'clips'), [(8, 1), (16, 2)])
def test_the_clip_keeps_its_shape_and_every_class_is_drawn(
    name: str, frames: int, clips: int
) -> None:
    clip = numbered(frames, clips)
    clip['imgs'] = [
        np.roll(scene()['imgs'][0][:32, :32], 2 * t, (0, 1)) for t in range(frames)
    ] * clips
    labels = set()
    for seed in range(50):
        clip['pace'] = seed % 3
        results = asked(name, clip, seed)
        assert np.shape(results['imgs']) == np.shape(clip['imgs'])
        assert results['imgs'][0].dtype == np.uint8
        assert type(results['label']) is int
        labels.add(results['label'])
    assert labels == set(range(COUNTS[name]))
    assert task(name).num_classes == COUNTS[name]


@every_task
def test_all_views_of_a_clip_get_the_same_question(name: str) -> None:
    clip = numbered(16, 3)
    for frame in clip['imgs']:
        frame[:8] = 200  # a structure to register by
    plain = dict(noise=0) if name == 'FrameRegistration' else {}
    for seed in range(5):
        views = np.reshape(asked(name, clip, seed, **plain)['imgs'], (3, -1))
        assert (views == views[0]).all()


@pytest.mark.parametrize('frames', [4, 8, 32])
def test_the_label_of_sorting_is_the_order_of_four_parts(frames: int) -> None:
    each = frames // 4
    ways = set()
    for seed in range(40):
        results = asked('FrameSorting', numbered(frames), seed)
        found = numbers(results)
        parts = [place // each for place in found[::each]]
        canonical = min(parts, parts[::-1])
        # the frames of a part stay together, and in the direction of the whole
        way = 1 if parts == canonical else -1
        inner = np.diff(np.reshape(found, (4, each)), axis=1)
        assert (inner == way).all()
        ways.add(way)
        orders = task('FrameSorting').orders
        assert list(orders[results['label']]) == canonical
    assert ways == {1, -1}


def both(numbers: list[int]) -> tuple[list[int], list[int]]:
    """Forward and backward."""
    return numbers, numbers[::-1]


def test_a_clip_out_of_order_is_neither_the_clip_nor_its_reversal() -> None:
    ways = set()
    for seed in range(60):
        results = asked('TemporalCoherence', numbered(), seed)
        found = numbers(results)
        # the same frames in both classes
        assert sorted(found) == list(range(8))
        forward = sorted(found)
        assert (found not in both(forward)) == bool(results['label'])
        if results['label']:
            ways_moved = [np.flatnonzero(np.subtract(w, forward)) for w in both(found)]
            first, second = min(ways_moved, key=len)
            assert second - first >= 2
        ways.add(found[0] < found[-1])
    assert ways == {True, False}


@pytest.mark.parametrize('frames', [8, 16])
def test_only_the_odd_part_is_shuffled(frames: int) -> None:
    each = frames // 4
    ways = set()
    for seed in range(60):
        results = asked('OddOneOut', numbered(frames), seed)
        parts = np.reshape(numbers(results), (4, each))
        way = np.sign(parts[-1].mean() - parts[0].mean())
        ordered = np.arange(frames)[:: int(way)].reshape(4, each)
        for place, (part, true) in enumerate(zip(parts, ordered)):
            assert sorted(part) == sorted(true)
            assert (part == true).any() != (place == results['label'])
        ways.add(way)
    assert ways == {1, -1}


def test_the_windows_of_registration_are_where_the_label_says() -> None:
    for seed in range(40):
        results = asked('FrameRegistration', scene(), seed, color=True, noise=0)
        first, last = np.array(results['imgs'])[[0, -1]].astype(float)
        # how far the window went, in pixels
        down, right = ((last - first)[..., c].mean() / 2 for c in (0, 1))
        grown = np.ptp(last[..., 1]) / np.ptp(first[..., 1])
        found = 'same'
        if abs(grown - 1) > 0.12:
            found = 'in' if grown < 1 else 'out'
        elif abs(down) > 2:
            found = 'down' if down > 0 else 'up'
        elif abs(right) > 2:
            found = 'right' if right > 0 else 'left'
        assert found == CLASSES[results['label']]


def test_nothing_but_the_view_moves_in_registration() -> None:
    clip = numbered()
    for frame in clip['imgs']:
        frame[:8] = 200
    answers = [asked('FrameRegistration', clip, seed, noise=0) for seed in range(40)]
    still = [a['imgs'] for a in answers if CLASSES[a['label']] == 'same']
    assert still
    assert all((frame == frames[0]).all() for frames in still for frame in frames)
    # any frame may be the one that stands for all
    assert len({int(a['imgs'][0][-1, -1, 0]) for a in answers}) > 4


@pytest.mark.parametrize('stride', [1, 2, 4])
def test_the_label_of_pace_is_the_drawn_distance(stride: int) -> None:
    labels = {}
    for seed in range(30):
        results = sampled('PlaybackPace', 40, seed)
        (step,) = set(np.diff(results['frame_inds']))
        labels[step] = results['pace']
        answer = asked('PlaybackPace', {**numbered(), 'pace': results['pace']}, seed)
        assert answer['label'] == results['pace']
    assert labels == {1: 0, 2: 1, 4: 2}


def test_pace_needs_frames_that_were_drawn_for_it() -> None:
    clip = numbered()
    del clip['pace']
    with pytest.raises(ValueError, match=r'needs mmvkd\.RandomPace'):
        asked('PlaybackPace', clip, 0)


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('FrameSorting', dict(parts=2), 'parts=2, expected at least 3'),
        ('OddOneOut', dict(parts=1), 'parts=1, expected at least 2'),
        ('PlaybackPace', dict(strides=(2,)), r'strides=\(2,\), expected two or more'),
        ('FrameRegistration', dict(zoom=1.7), r'zoom=1\.7, smallest=0\.32, expected'),
    ],
)
def test_a_wrong_setting_is_named(name: str, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assert task(name, **settings).sampling


@pytest.mark.parametrize(
    ('name', 'frames', 'message'),
    [
        ('FrameSorting', 6, 'a multiple of 4 frames, at least 4; the clip has 6'),
        ('OddOneOut', 4, 'a multiple of 4 frames, at least 8; the clip has 4'),
        ('TemporalCoherence', 3, 'takes 4 frames or more, the clip has 3'),
    ],
)
def test_a_clip_of_another_length_is_refused(
    name: str, frames: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        asked(name, numbered(frames), 0)
