"""A data set that asks a pretext task in place of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from videos import pipeline

from mmvkd.datasets import PretextDataset
from mmvkd.engine.hooks.data_check import check_dataset
from mmvkd.errors import UnfitPipelineError
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey

TASKS = (
    'FrameSorting',
    'FrameRegistration',
    'TemporalCoherence',
    'OddOneOut',
    'PlaybackPace',
)


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four moving clips and a still one."""
    folder = tmp_path_factory.mktemp('clips')
    for index in range(4):
        write(folder / f'clip{index}.mp4', 36 + index, speed=2)
    write(folder / 'still.mp4', 36, speed=0)
    return folder


def write(path: Path, frames: int, speed: int) -> None:
    """A texture that drifts by ``speed`` pixels a frame."""
    noise = np.random.default_rng(frames).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    scene = cv2.resize(noise, (64, 64), interpolation=cv2.INTER_LINEAR)
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(path), codec, 10, (64, 64))
    for t in range(frames):
        writer.write(np.roll(scene, speed * t, 1))
    writer.release()


def build(
    clips: Path, task: str = 'FrameSorting', labels: str = '0123', **settings: Any
) -> PretextDataset:
    """The task over the clips of a folder, each with a label of ``labels``.

    A label ``'-'`` is none, ``'s'`` the still clip.
    """
    names = {'s': 'still.mp4'}
    lines = [
        names.get(label, f'clip{index}.mp4') + ('' if label in '-' else f' {index}')
        for index, label in enumerate(labels)
    ]
    if labels.isdigit():
        lines = [f'clip{i}.mp4 {label}' for i, label in enumerate(labels)]
    path = clips / f'{labels}.txt'
    path.write_text('\n'.join(lines))
    steps = settings.pop('pipeline', pipeline(augment=False, frames=8))
    dataset = dict(
        type='VideoDataset',
        ann_file=str(path),
        data_prefix=dict(video=str(clips)),
        pipeline=steps,
        **settings,
    )
    return DATASETS.build(
        dict(
            type='mmvkd.PretextDataset',
            dataset=dataset,
            task=dict(type=f'mmvkd.{task}'),
        )
    )


def same(left: dict, right: dict) -> bool:
    labels = left['data_samples'].gt_label, right['data_samples'].gt_label
    return torch.equal(left['inputs'], right['inputs']) and torch.equal(*labels)


@pytest.mark.parametrize('task', TASKS)
def test_a_question_is_a_function_of_its_key(clips: Path, task: str) -> None:
    data = build(clips, task)
    first = data[SampleKey(1, epoch=2, seed=3)]
    np.random.seed(0)
    data[SampleKey(0, epoch=2, seed=3)]
    assert same(build(clips, task)[SampleKey(1, epoch=2, seed=3)], first)
    others = [data[SampleKey(1, epoch, 3)] for epoch in range(3, 12)]
    assert not any(torch.equal(other['inputs'], first['inputs']) for other in others)
    assert {int(other['data_samples'].gt_label) for other in others} > {
        int(first['data_samples'].gt_label)
    }


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize(
    ('sampling', 'layout', 'shape'),
    [
        (dict(clip_len=1, num_clips=8), 'NCHW', (8, 3, 32, 32)),
        (dict(clip_len=8, frame_interval=2, num_clips=1), 'NCTHW', (1, 3, 8, 32, 32)),
        (dict(clip_len=8, frame_interval=2, num_clips=3), 'NCTHW', (3, 3, 8, 32, 32)),
    ],
)
def test_2d_and_3d_recognizers_get_what_they_expect(
    clips: Path, task: str, sampling: dict, layout: str, shape: tuple
) -> None:
    steps = pipeline(augment=False)
    steps[1] = dict(type='SampleFrames', **sampling)
    steps[-2] = dict(type='FormatShape', input_format=layout)
    sample = build(clips, task, pipeline=steps)[0]
    assert tuple(sample['inputs'].shape) == shape
    assert sample['inputs'].dtype == torch.uint8


def test_no_label_of_the_list_is_used(clips: Path) -> None:
    lists = [build(clips, labels=labels) for labels in ('0123', '7777', '----')]
    for index in range(4):
        first, *others = (data[SampleKey(index, 1, 2)] for data in lists)
        assert all(same(first, other) for other in others)
    assert len({data.fingerprint for data in lists}) == 1
    seen = []
    steps = lists[1].dataset.pipeline.transforms
    steps.insert(1, lambda results: seen.append(results['label']) or results)
    assert 'inputs' in lists[1][0]
    assert seen == [-1]
    assert lists[1].get_data_info(0)['label'] == -1


def test_a_flip_that_swaps_labels_leaves_the_answer_alone(clips: Path) -> None:
    steps = pipeline(augment=False, frames=8)
    flip = dict(type='Flip', flip_ratio=1.0)
    wrong = {label: 50 for label in range(-1, 12)}
    for label_map in (None, wrong):
        steps.insert(-2, dict(flip, flip_label_map=label_map))
        data = build(clips, 'PlaybackPace', pipeline=steps)
        steps.pop(-3)
        answers = [
            int(data[SampleKey(0, e)]['data_samples'].gt_label) for e in range(9)
        ]
        assert set(answers) == {0, 1, 2}


def test_validation_asks_the_same_questions_each_time(clips: Path) -> None:
    steps = pipeline(augment=False, frames=8, test_mode=True)
    data = build(clips, pipeline=steps, test_mode=True)
    assert all(same(data[index], data[SampleKey(index)]) for index in range(4))
    assert same(data[2], build(clips, pipeline=steps, test_mode=True)[2])


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_still_clip_is_replaced_by_the_same_other_one(
    clips: Path, test_mode: bool
) -> None:
    data = build(clips, labels='0s2', test_mode=test_mode)
    sample = data[SampleKey(1, 1, 1)]
    info = sample['data_samples'].metainfo
    assert info['sample_id'] != 1
    assert all('still.mp4 (nothing moves in it)' in name for name in info['skipped'])
    assert same(data[SampleKey(1, 1, 1)], sample)
    assert (
        'skipped'
        not in build(clips, 'FrameRegistration', labels='0s2')[1][
            'data_samples'
        ].metainfo
    )


def test_a_list_of_still_clips_ends_in_a_line(clips: Path) -> None:
    with pytest.raises(RuntimeError, match=r'50 clips in a row.*nothing moves in it'):
        build(clips, labels='ss')[0]


def test_frames_that_no_clip_can_have_are_not_taken_for_unreadable_clips(
    clips: Path,
) -> None:
    data = build(clips, pipeline=pipeline(augment=False, frames=6))
    with pytest.raises(UnfitPipelineError, match='a multiple of 4 frames'):
        data[0]


def test_a_head_of_other_classes_is_refused_before_training(clips: Path) -> None:
    data = build(clips)
    check_dataset('train', data, 12, allow_unlabeled=True)
    with pytest.raises(
        ValueError, match=r'^FrameSorting of the train_.*num_classes=14'
    ):
        check_dataset('train', data, 14, allow_unlabeled=True)


def test_only_a_task_for_a_pipeline_of_frames_is_taken(clips: Path) -> None:
    with pytest.raises(
        TypeError, match=r'task=.*RandomWindow.*no pretext task, such as mmvkd.Fra'
    ):
        build(clips, 'RandomWindow')
    steps = pipeline(augment=False)
    del steps[-2]
    with pytest.raises(ValueError, match='FormatShape; it is DecordInit, SampleFrames'):
        build(clips, pipeline=steps)
