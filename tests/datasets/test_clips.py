"""Transforms of whole clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmvkd.datasets.transforms import ReverseClip, StandardizeClip
from mmvkd.datasets.transforms.clips import IMAGENET_MEAN, IMAGENET_STD


def clip(low: int = 90, high: int = 110) -> dict[str, Any]:
    frames = np.random.default_rng(0).integers(low, high, (4, 6, 5, 3), dtype=np.uint8)
    return dict(imgs=list(frames), label=2)


def test_what_the_preprocessor_then_sees_has_mean_0_and_contrast_1() -> None:
    imgs = StandardizeClip(eps=0.0).transform(clip())['imgs']
    seen = (np.stack(imgs) - IMAGENET_MEAN) / IMAGENET_STD
    assert imgs[0].dtype == np.float32
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)


def test_brightness_and_contrast_of_a_recording_do_not_matter() -> None:
    dim = clip(0, 40)
    bright = dict(imgs=[frame * 5 + 30 for frame in dim['imgs']])
    transform = StandardizeClip(eps=0.0)
    assert np.allclose(
        transform.transform(dim)['imgs'], transform.transform(bright)['imgs'], atol=1e-3
    )


def test_frames_that_were_added_for_a_teacher_change_no_other() -> None:
    alone = clip()
    loaded = [frame for own in alone['imgs'] for frame in (own, own // 2)]
    beside = StandardizeClip().transform(dict(imgs=loaded, oversampled=2))['imgs']
    assert np.array_equal(beside[::2], StandardizeClip().transform(alone)['imgs'])


def test_a_flat_clip_stays_finite() -> None:
    flat = dict(imgs=[np.full((4, 4, 3), 7, dtype=np.uint8)] * 2)
    assert np.allclose(StandardizeClip().transform(flat)['imgs'], IMAGENET_MEAN)


def test_a_reversed_clip_gets_the_label_of_the_reversed_motion() -> None:
    before = clip()
    after = ReverseClip(ratio=1.0, label_map={2: 3}).transform(dict(before))
    assert np.array_equal(after['imgs'], np.stack(before['imgs'])[::-1])
    assert after['label'] == 3
    assert ReverseClip(ratio=1.0, label_map={0: 1}).transform(clip())['label'] == 2


def test_backwards_too_the_student_sees_its_own_frames_among_more() -> None:
    own, beside = [0, 4, 9], [2, 6, 11]
    loaded = [frame for pair in zip(own, beside) for frame in pair]
    after = ReverseClip(ratio=1.0).transform(dict(imgs=loaded, oversampled=2))
    assert after['imgs'] == [9, 6, 4, 2, 0, 0]
    assert after['imgs'][::2] == own[::-1]


def test_with_ratio_0_nothing_changes_and_a_ratio_is_a_probability() -> None:
    before = clip()
    after = ReverseClip(ratio=0.0, label_map={2: 3}).transform(dict(before))
    assert np.array_equal(after['imgs'], before['imgs'])
    assert after['label'] == 2
    with pytest.raises(ValueError, match=r'ratio=1\.5'):
        ReverseClip(ratio=1.5)
