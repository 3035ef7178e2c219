"""The short cuts that pretext tasks shut."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from pretext_toys import asked, every_task, numbered, numbers, sampled, scene, task

from mmvkd.datasets.transforms.pretext.registration import CLASSES
from mmvkd.registry import TRANSFORMS
from mmvkd.seeding import seeded

ORDER = ('FrameSorting', 'TemporalCoherence', 'OddOneOut', 'PlaybackPace')


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
