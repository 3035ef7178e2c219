"""Pretext tasks: what they ask, and the short cuts that they shut."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS as MMACTION_TRANSFORMS

from mmvkd.datasets.transforms.pretext.registration import CLASSES
from mmvkd.datasets.transforms.pretext.task import PretextTask
from mmvkd.registry import TRANSFORMS
from mmvkd.seeding import seeded

COUNTS = dict(
    FrameSorting=12,
    FrameRegistration=7,
    TemporalCoherence=2,
    OddOneOut=4,
    PlaybackPace=3,
)
ORDER = ('FrameSorting', 'TemporalCoherence', 'OddOneOut', 'PlaybackPace')
every_task = pytest.mark.parametrize('name', COUNTS)


def task(name: str, **settings: Any) -> PretextTask:
    return TRANSFORMS.build(dict(type=f'mmvkd.{name}', **settings))


def numbered(frames: int = 8, clips: int = 1, size: int = 32) -> dict[str, Any]:
    """A clip that brightens: a pixel is 7 times its frame's number."""
    shape = (frames, size, size, 3)
    imgs = np.zeros(shape, np.uint8) + 7 * np.arange(frames, dtype=np.uint8).reshape(
        -1, 1, 1, 1
    )
    single = clips == 1
    return dict(
        imgs=list(imgs) * clips,
        clip_len=1 if single else frames,
        num_clips=frames if single else clips,
        pace=1,
        label='never read',
    )


def asked(name: str, clip: dict[str, Any], seed: int, **settings: Any) -> dict:
    with seeded(seed):
        return task(name, **settings).transform(dict(clip))


def numbers(results: dict[str, Any]) -> list[int]:
    """Which frame of :func:`numbered` is where."""
    return [int(frame[0, 0, 0]) // 7 for frame in results['imgs']]


def scene(size: tuple[int, int] = (48, 64), frames: int = 8) -> dict[str, Any]:
    """A still scene whose channels are the row, the column and their sum."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    picture = np.stack([rows * 2, columns * 2, rows + columns], axis=-1) + 20
    imgs = [picture.astype(np.uint8) for _ in range(frames)]
    return dict(imgs=imgs, clip_len=1, num_clips=frames)


# -- what they ask -----------------------------------------------------------------


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


# -- short cuts ----------------------------------------------------------------------


@every_task
def test_colors_are_gone_unless_they_are_asked_for(name: str) -> None:
    clip = scene()
    clip.update(
        pace=0, imgs=[np.roll(f, t, (0, 1)) for t, f in enumerate(clip['imgs'])]
    )
    kept = []
    for seed in range(20):
        gray = np.stack(asked(name, clip, seed)['imgs'])
        assert (gray == gray[..., :1]).all()
        kept.append(gray.mean())
    colored = np.stack(asked(name, clip, 0, color=True)['imgs'])
    assert (colored[..., 0] != colored[..., 1]).any()
    # each of the channels has its turn
    assert np.ptp(kept) > 5


@pytest.mark.parametrize('name', ORDER[:3])
def test_a_still_clip_is_not_asked_about_its_order(name: str) -> None:
    still = scene()
    noise = np.random.default_rng(0).normal(0, 2, (8, 48, 64, 3))
    still.update(pace=0, imgs=list(np.uint8(np.stack(still['imgs']) + noise)))
    with pytest.raises(ValueError, match='nothing moves in it'):
        asked(name, still, 0)
    moving = np.stack(still['imgs'])
    moving[4:, 20:30, 20:30] += 30
    assert 'label' in asked(name, dict(still, imgs=list(moving)), 0)


def test_nothing_moves_where_the_drawn_channel_is_still() -> None:
    clip = scene()
    frames = np.stack(clip['imgs'])
    frames[4:, 20:30, 20:30, 0] += 60
    clip['imgs'] = list(frames)
    answered = 0
    for seed in range(20):
        try:
            results = asked('FrameSorting', clip, seed)
        except ValueError:
            continue
        answered += 1
        assert np.ptp(results['imgs'], axis=0).max() > 0
    assert 0 < answered < 20


@pytest.mark.parametrize('pace', [0, 1, 2])
def test_any_clip_is_asked_about_its_pace(pace: int) -> None:
    """Clips that are refused at a slow pace alone would tell it by their pictures."""
    assert asked('PlaybackPace', dict(scene(), pace=pace), 0)['label'] == pace


def test_registration_takes_still_clips_but_no_flat_ones() -> None:
    assert 'label' in asked('FrameRegistration', scene(), 0)
    with pytest.raises(ValueError, match='a picture of it is flat'):
        asked('FrameRegistration', numbered(), 0)


@pytest.mark.parametrize('size', [(32, 32), (48, 64), (224, 224)])
@pytest.mark.parametrize('name', CLASSES)
def test_all_windows_lie_within_the_picture_at_a_random_place(
    name: str, size: tuple[int, int]
) -> None:
    found = []
    for seed in range(100):
        with seeded(seed):
            windows = task('FrameRegistration').windows(name, size, 8)
        assert windows.min() >= 0
        assert (windows[:, 1] <= size).all()
        # none smaller than the smallest, but for rounding
        sides = windows[:, 1] - windows[:, 0]
        assert (sides >= 0.32 * np.array(size) - 1).all()
        found.append(windows)
    # no window stays where the border would be seen
    assert (np.ptp(found, axis=0) >= 0.04 * min(size)).all()


def test_the_rim_of_a_registered_frame_does_not_tell_its_class() -> None:
    """Nothing is filled in, and a linear classifier on the rim is at chance."""
    rng = np.random.default_rng(0)
    rims, labels = [], []
    for seed in range(800):
        picture = cv2.resize(rng.integers(100, 256, (6, 6, 3), np.uint8), (24, 24))
        clip = dict(imgs=[picture] * 2, clip_len=1, num_clips=2)
        results = asked('FrameRegistration', clip, seed, noise=0)
        last = results['imgs'][1][..., 0].astype(float)
        rims.append([last[0], last[-1], last[:, 0], last[:, -1]])
        labels.append(results['label'])
    assert np.min(rims) >= 100
    assert score(np.reshape(rims, (800, -1)), labels) < 0.23  # chance: 0.143


def test_the_noise_that_is_left_does_not_tell_how_the_view_was_scaled() -> None:
    """A linear classifier on how rough each frame is: blind to what it shows."""
    rng = np.random.default_rng(0)
    scores = {}
    for noise in (5, 0):
        rough, labels = [], []
        for seed in range(400):
            picture = cv2.resize(rng.uniform(60, 200, (5, 5, 3)), (96, 96))
            picture = np.uint8(picture + rng.normal(0, 5, picture.shape))
            clip = dict(imgs=[picture] * 8, clip_len=1, num_clips=8)
            results = asked('FrameRegistration', clip, seed, noise=noise)
            frames = [f[..., 0].astype(np.float32) for f in results['imgs']]
            rough.append([np.log(cv2.Laplacian(f, cv2.CV_32F).var()) for f in frames])
            labels.append(results['label'])
        scores[noise] = score(rough, labels)
    assert scores[5] < 0.24  # chance: 0.143
    assert scores[0] > 0.3


def score(features: Any, labels: Any) -> float:
    """Of a linear classifier (ridge regression) on the second half of the samples."""
    half = len(labels) // 2
    x = np.asarray(features, dtype=float)
    x = np.c_[(x - x.mean(0)) / (x.std(0) + 1e-6), np.ones(len(x))]
    seen = x[:half]
    gram = seen.T @ seen + 10 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, seen.T @ np.eye(max(labels) + 1)[labels[:half]])
    return float(np.mean((x[half:] @ weights).argmax(1) == labels[half:]))


def sampled(name: str, total: int, seed: int, redraw: bool = True, **how: Any) -> dict:
    """What MMAction2's sampling and the task's make of a video, as in a test."""
    how = dict(dict(clip_len=1, frame_interval=1, num_clips=8), **how)
    sampling = dict(type='SampleFrames', test_mode=True, **how)
    results = dict(total_frames=total, start_index=0)
    with seeded(seed):
        results = MMACTION_TRANSFORMS.build(sampling).transform(results)
        return task(name).sampling.transform(results) if redraw else results


def test_the_place_of_key_frames_does_not_tell_the_order() -> None:
    """A linear classifier that sees how far each key frame is back is at chance."""
    scores = {}
    for redraw in (True, False):
        phases, labels = [], []
        for seed in range(800):
            frames = sampled('FrameSorting', 90, seed, redraw)['frame_inds']
            results = asked('FrameSorting', numbered(), seed)
            phases.append(np.eye(12)[frames[numbers(results)] % 12].reshape(-1))
            labels.append(results['label'])
        scores[redraw] = score(phases, labels)
    assert scores[True] < 0.14  # chance: 0.083
    assert scores[False] > 0.4


@pytest.mark.parametrize(
    ('how', 'reach'),
    [
        (dict(), 90),
        (dict(clip_len=16, frame_interval=2, num_clips=1), 32),
        (dict(clip_len=16, frame_interval=2, num_clips=3), 32),
        (dict(twice_sample=True), 90),
    ],
)
@pytest.mark.parametrize('start', [0, 1])
def test_drawn_frames_grow_within_the_video_and_the_reach_of_the_sampling(
    how: dict, reach: int, start: int
) -> None:
    length = how.get('clip_len', 8)
    spans, firsts = [], []
    for seed in range(60):
        before = sampled('FrameSorting', 90, seed, redraw=False, **how)
        count = len(before['frame_inds'])
        before['start_index'] = start
        with seeded(seed):
            after = task('FrameSorting').sampling.transform(before)['frame_inds']
        assert len(after) == count
        assert after.dtype == np.int32
        assert after.min() >= start
        assert after.max() < 90 + start
        for view in after.reshape(-1, length):
            assert (np.diff(view) >= 1).all()
            spans.append(view[-1] - view[0])
            firsts.append(view[0])
    assert max(spans) < reach
    assert max(spans) > 0.7 * reach
    assert min(spans) >= 0.3 * reach
    assert len(set(np.array(firsts) % 12)) == 12


@every_task
def test_a_video_that_would_repeat_frames_is_refused(name: str) -> None:
    least = 29 if name == 'PlaybackPace' else 8
    with pytest.raises(ValueError, match=f'{least - 1} frames to draw from, {least} '):
        sampled(name, least - 1, 0)
    drawn = sampled(name, least, 0)['frame_inds']
    assert len(set(drawn.tolist())) == 8


def test_a_window_is_a_part_of_the_video() -> None:
    with pytest.raises(ValueError, match='shortest=0, expected'):
        TRANSFORMS.build(dict(type='mmvkd.RandomWindow', shortest=0))
