"""Clips for pretext tasks, and the tasks asked about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS as MMACTION_TRANSFORMS

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


def sampled(name: str, total: int, seed: int, redraw: bool = True, **how: Any) -> dict:
    """What MMAction2's sampling and the task's make of a video, as in a test."""
    how = dict(dict(clip_len=1, frame_interval=1, num_clips=8), **how)
    sampling = dict(type='SampleFrames', test_mode=True, **how)
    results = dict(total_frames=total, start_index=0)
    with seeded(seed):
        results = MMACTION_TRANSFORMS.build(sampling).transform(results)
        return task(name).sampling.transform(results) if redraw else results
