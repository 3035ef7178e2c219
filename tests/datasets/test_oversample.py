"""More frames inside the segments that a pipeline samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from videos import dataset, pipeline, write_list

from mmvkd.datasets.transforms import OversampleFrames
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey, seeded

SAMPLERS = dict(
    segments=dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    test_segments=dict(
        type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8, test_mode=True
    ),
    dense=dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=1),
    dense_clips=dict(type='SampleFrames', clip_len=4, frame_interval=3, num_clips=3),
    dense_repeat=dict(
        type='SampleFrames',
        clip_len=8,
        frame_interval=4,
        num_clips=2,
        out_of_bound_opt='repeat_last',
    ),
    uniform=dict(type='UniformSample', clip_len=8, num_clips=1),
)


def sampled(sampler: dict[str, Any], frames: int, start: int, seed: int) -> dict:
    """What a sampling transform makes of a video."""
    results = dict(total_frames=frames, start_index=start, modality='RGB', avg_fps=30)
    with seeded(seed):
        return TRANSFORMS.build(sampler).transform(results)


@pytest.mark.parametrize('start', [0, 1])
def test_a_clip_longer_than_its_video_goes_on_forward(start: int) -> None:
    results = dict(
        frame_inds=np.array([0, 2, 4, 1, 3, 0]) + start,
        total_frames=5,
        start_index=start,
        clip_len=6,
        num_clips=1,
    )
    inds = OversampleFrames(2).transform(results)['frame_inds'] - start
    assert inds.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.mark.parametrize('factor', [2, 4])
@pytest.mark.parametrize('start', [0, 1])
@pytest.mark.parametrize('frames', [3, 8, 9, 31, 200])
@pytest.mark.parametrize('name', SAMPLERS)
def test_the_students_frames_stay_and_no_index_leaves_the_video(
    name: str, frames: int, start: int, factor: int
) -> None:
    for seed in range(5):
        before = sampled(SAMPLERS[name], frames, start, seed)
        alone = np.array(before['frame_inds'])
        shape = before['num_clips'], before['clip_len']
        after = OversampleFrames(factor).transform(before)
        inds = after['frame_inds']
        assert inds[::factor].tolist() == alone.tolist()
        assert inds.dtype == alone.dtype
        assert inds.min() >= start
        assert inds.max() <= frames - 1 + start
        assert after['num_clips'] * after['clip_len'] == factor * shape[0] * shape[1]
        grown = (
            (shape[0] * factor, 1) if shape[1] == 1 else (shape[0], shape[1] * factor)
        )
        assert (after['num_clips'], after['clip_len']) == grown


def test_the_new_frames_lie_between_the_sampled_ones() -> None:
    results = dict(
        frame_inds=np.array([0, 10, 30]),
        total_frames=40,
        start_index=0,
        clip_len=1,
        num_clips=3,
    )
    OversampleFrames(2).transform(results)
    assert results['frame_inds'].tolist() == [0, 5, 10, 20, 30, 39]
    assert results['oversampled'] == 2


def test_clips_are_refined_each_by_itself() -> None:
    results = dict(
        frame_inds=np.array([0, 4, 2, 6]),
        total_frames=9,
        start_index=0,
        clip_len=2,
        num_clips=2,
    )
    OversampleFrames(2).transform(results)
    assert results['frame_inds'].tolist() == [0, 2, 4, 6, 2, 4, 6, 8]
    assert (results['num_clips'], results['clip_len']) == (2, 4)


def formatted(name: str, input_format: str) -> list[dict[str, Any]]:
    """A pipeline with another sampler and another layout."""
    steps = pipeline(augment=False)
    steps[1] = SAMPLERS[name]
    steps[-2] = dict(type='FormatShape', input_format=input_format)
    return steps


@pytest.mark.parametrize(
    ('name', 'input_format', 'shape', 'time'),
    [
        ('segments', 'NCHW', (16, 3, 32, 32), 0),
        ('dense', 'NCTHW', (1, 3, 16, 32, 32), 2),
        ('dense_clips', 'NCTHW', (3, 3, 8, 32, 32), 2),
    ],
)
def test_formatted_clips_hold_the_students_clip_at_every_second_frame(
    tmp_path: Path, name: str, input_format: str, shape: tuple, time: int
) -> None:
    path = write_list(tmp_path, 2)
    steps = formatted(name, input_format)
    alone = DATASETS.build(dataset(path, pipeline=steps))
    both = DATASETS.build(dataset(path, pipeline=steps, oversample=2))
    key = SampleKey(1, 3, 5)
    clip, refined = alone[key]['inputs'], both[key]['inputs']
    assert tuple(refined.shape) == shape
    every = torch.arange(0, shape[time], 2)
    assert torch.equal(refined.index_select(time, every), clip)


def test_a_factor_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match='factor must be at least 1, got 0'):
        OversampleFrames(0)


@pytest.mark.parametrize('oversample', [0, 1.5, '2'])
def test_a_data_set_takes_whole_factors_only(tmp_path: Path, oversample: Any) -> None:
    path = write_list(tmp_path, 1)
    with pytest.raises(ValueError, match='oversample is 1 or more, a whole number'):
        DATASETS.build(dataset(path, oversample=oversample))


def test_a_pipeline_that_samples_nothing_is_refused(tmp_path: Path) -> None:
    path = write_list(tmp_path, 1)
    steps = [dict(type='DecordInit'), dict(type='DecordDecode')]
    with pytest.raises(ValueError, match='samples frames; it is DecordInit, DecordDec'):
        DATASETS.build(dataset(path, pipeline=steps, oversample=2))
