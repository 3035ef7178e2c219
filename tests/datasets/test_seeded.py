"""A sample is a function of (run seed, epoch, sample id)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any, Optional

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader
from videos import dataset, pipeline, write_frames, write_list, write_video

from mmvkd.datasets import SeededDataset, SeededSampler
from mmvkd.datasets.fingerprint import data_fingerprint
from mmvkd.engine.hooks import SeedingHook
from mmvkd.errors import UnfitPipelineError
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey


def build(ann_file: str, **settings: Any) -> SeededDataset:
    """The data set of a list."""
    return DATASETS.build(dataset(ann_file, **settings))


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list of six clips."""
    return write_list(tmp_path_factory.mktemp('clips'), 6)


def scramble() -> None:
    """Put the global generators somewhere else."""
    random.seed()
    np.random.seed(random.getrandbits(32))
    torch.seed()


def loaded(data: SeededDataset, workers: int, epochs: int = 2) -> list[dict]:
    """Clips by sample id, for each epoch, as a data loader gives them."""
    sampler = SeededSampler(data, shuffle=True, seed=5)
    loader = DataLoader(
        data,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=pseudo_collate,
    )
    found = []
    for epoch in range(epochs):
        scramble()
        sampler.set_epoch(epoch)
        samples: dict[int, Tensor] = {}
        for batch in loader:
            for clip, sample in zip(batch['inputs'], batch['data_samples']):
                samples[sample.sample_id] = clip.clone()
        found.append(samples)
    return found


def test_a_sample_depends_on_its_key_alone(clips: str) -> None:
    data = build(clips)
    key = SampleKey(3, epoch=2, seed=7)
    scramble()
    first = data[key]['inputs']
    for index in (5, 0, 1):
        data[SampleKey(index, epoch=1, seed=7)]
    scramble()
    assert torch.equal(data[key]['inputs'], first)
    assert torch.equal(build(clips)[key]['inputs'], first)


def test_a_bare_index_is_another_view_each_time_in_training_and_one_in_testing(
    clips: str,
) -> None:
    np.random.seed(0)
    data = build(clips)
    shown = [data[3] for _ in range(3)]
    assert len({sample['data_samples'].view for sample in shown}) == 3
    assert not all(torch.equal(shown[0]['inputs'], s['inputs']) for s in shown[1:])
    still = build(clips, test_mode=True)
    assert still[3]['data_samples'].view == 0
    assert torch.equal(still[3]['inputs'], still[SampleKey(3)]['inputs'])


@pytest.mark.parametrize('other', [SampleKey(3, 1, 7), SampleKey(3, 2, 8)])
def test_another_epoch_or_seed_gives_another_augmentation(
    clips: str, other: SampleKey
) -> None:
    data = build(clips)
    assert not torch.equal(data[SampleKey(3, 2, 7)]['inputs'], data[other]['inputs'])


@pytest.mark.parametrize('workers', [1, 2])
def test_persistent_workers_give_the_clips_that_no_worker_gives(
    clips: str, workers: int
) -> None:
    data = build(clips)
    here, there = loaded(data, 0), loaded(data, workers)
    assert sorted(here[0]) == list(range(6))
    for mine, theirs in zip(here, there):
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[i], theirs[i]) for i in mine)
    assert any(not torch.equal(there[0][i], there[1][i]) for i in range(6))


class Constant(BaseModel):
    """A model of one number that learns nothing from its input."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(()))

    def forward(
        self, inputs: Any, data_samples: Optional[list] = None, mode: str = 'tensor'
    ) -> dict[str, Tensor]:
        return dict(loss=self.number**2)


class Recorder(Hook):
    """Keeps the clips of a run by epoch and sample id."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], Tensor] = {}
        self.draws: list[float] = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        self.draws.append(torch.rand(()).item())
        for clip, sample in zip(data_batch['inputs'], data_batch['data_samples']):
            self.seen[runner.epoch, sample.sample_id] = clip.clone()


def run(
    folder: Path, ann_file: str, workers: int, epochs: int = 2, **settings: Any
) -> tuple[Recorder, SeedingHook]:
    """Train :class:`Constant` in a real Runner."""
    recorder, seeding = Recorder(), SeedingHook()
    Runner(
        model=Constant(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type='mmvkd.SeededSampler', shuffle=True),
            dataset=dataset(ann_file, **settings),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[seeding, recorder],
        default_hooks=dict(logger=None, checkpoint=None),
        default_scope='mmaction',
        randomness=dict(seed=4),
        experiment_name=folder.name,
    ).train()
    return recorder, seeding


def test_epochs_of_a_runner_with_persistent_workers_differ_and_are_those_of_none(
    clips: str, tmp_path: Path
) -> None:
    here, _ = run(tmp_path / 'here', clips, workers=0)
    there, _ = run(tmp_path / 'there', clips, workers=2)
    assert list(here.seen) == list(there.seen)
    assert all(torch.equal(here.seen[key], there.seen[key]) for key in here.seen)
    assert here.draws == there.draws
    assert any(not torch.equal(there.seen[0, i], there.seen[1, i]) for i in range(6))
    # and they are the ones of the key
    data = build(clips)
    assert torch.equal(there.seen[1, 3], data[SampleKey(3, 1, 4)]['inputs'])


def test_loading_leaves_the_global_generators_alone(clips: str) -> None:
    data = build(clips)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    data[SampleKey(2, 1, 1)]
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_sample_id_is_attached_after_packing(clips: str) -> None:
    sample = build(clips)[4]['data_samples']
    assert sample.sample_id == 4
    assert sample.metainfo['sample_id'] == 4
    assert sample.gt_label.item() == 0
    assert 'skipped' not in sample.metainfo


def test_the_fingerprint_follows_names_and_order_but_no_labels(
    clips: str, tmp_path: Path
) -> None:
    lines = Path(clips).read_text().splitlines(keepends=True)
    variants = dict(
        same=lines,
        order=lines[::-1],
        label=[lines[0].replace(' 0', ' 1'), *lines[1:]],
        fewer=lines[:-1],
    )
    prints = {}
    for name, text in variants.items():
        path = tmp_path / f'{name}.txt'
        path.write_text(''.join(text))
        prints[name] = build(str(path)).fingerprint
    assert prints['same'] == prints['label'] == build(clips).fingerprint
    assert len(set(prints.values())) == 3


def test_frame_folders_work_as_videos_do(tmp_path: Path) -> None:
    lines = []
    for i in range(3):
        write_frames(tmp_path / f'clip{i}', seed=i)
        lines.append(f'clip{i} 12 {i}\n')
    path = tmp_path / 'list.txt'
    path.write_text(''.join(lines))
    config = dict(
        type='RawframeDataset',
        ann_file=str(path),
        data_prefix=dict(img=str(tmp_path)),
        pipeline=pipeline(decoder='RawFrame'),
    )
    data = SeededDataset(config)
    sample = data[SampleKey(2, 1, 1)]
    assert sample['inputs'].shape == (4, 3, 32, 32)
    assert sample['data_samples'].sample_id == 2
    assert torch.equal(data[SampleKey(2, 1, 1)]['inputs'], sample['inputs'])
    # which of the pictures are shown counts, too
    other = SeededDataset(dict(config, start_index=0))
    assert len({data.fingerprint, other.fingerprint}) == 2
    # and frames that were extracted again, otherwise, are other ones
    before = data_fingerprint(data)
    rmtree(tmp_path / 'clip1')
    write_frames(tmp_path / 'clip1', size=80)
    assert data_fingerprint(data) != before


@pytest.mark.parametrize(
    ('wrapper', 'match'),
    [
        (
            lambda clips: dict(type='ConcatDataset', datasets=[clips, clips]),
            'ConcatDataset has none; write several lists into one',
        ),
        (
            lambda clips: dict(type='RepeatDataset', dataset=clips, times=2),
            'RepeatDataset has none; .* repeat by max_epochs',
        ),
        (
            lambda clips: dict(clips, type='RepeatAugDataset', num_repeats=2),
            'RepeatAugDataset loads .*VideoDataset. without .*with collate_fn=',
        ),
    ],
)
def test_a_data_set_without_a_pipeline_of_its_own_is_told(
    wrapper: Callable[[dict], dict], match: str, clips: str
) -> None:
    plain = dataset(clips)['dataset']
    plain.pop('test_mode')
    with pytest.raises(TypeError, match=match):
        SeededDataset(wrapper(plain))


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'empty.txt'
    path.write_text('')
    with pytest.raises(ValueError, match=r"empty\.txt' lists no clips"):
        build(str(path))


def test_a_missing_list_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    path = str(tmp_path / 'none.txt')
    with pytest.raises(FileNotFoundError, match=r"none\.txt' is missing$"):
        build(path)
    config = dict(dataset(path), recipe='make it with: tools/data/make_motions.py')
    with pytest.raises(FileNotFoundError, match=r'missing; make it with: tools/data/'):
        DATASETS.build(config)


def test_an_undecodable_clip_is_replaced_in_training_by_the_same_other_clip(
    tmp_path: Path,
) -> None:
    data = build(write_list(tmp_path, 6, broken=(2,)))
    sample = data[SampleKey(2, 1, 1)]
    (skipped,) = sample['data_samples'].metainfo['skipped']
    assert 'clip02.mp4' in skipped
    assert '\n' not in skipped
    other = sample['data_samples'].sample_id
    assert other != 2
    assert sample['data_samples'].gt_label.item() == other % 4
    again = data[SampleKey(2, 1, 1)]
    assert again['data_samples'].sample_id == other
    assert torch.equal(again['inputs'], sample['inputs'])


def test_two_broken_clips_do_not_stand_in_for_each_other_for_ever(
    tmp_path: Path,
) -> None:
    data = build(write_list(tmp_path, 5, broken=(0, 1)))
    counts = set()
    for epoch in range(20):
        sample = data[SampleKey(0, epoch, 1)]['data_samples']
        assert sample.sample_id >= 2
        counts.add(len(sample.metainfo['skipped']))
    # the other broken clip was drawn too
    assert max(counts) > 1


@pytest.mark.parametrize('kind', ['rubbish', 'empty', 'missing', 'truncated'])
@pytest.mark.parametrize('decoder', ['Decord', 'PyAV', 'OpenCV'])
def test_every_kind_of_broken_file_raises_in_testing_in_one_line(
    tmp_path: Path, kind: str, decoder: str
) -> None:
    path = write_list(tmp_path, 2)
    clip = tmp_path / 'train' / 'clip01.mp4'
    if kind == 'missing':
        clip.unlink()
    else:
        write_video(clip)
        whole = clip.read_bytes()
        clip.write_bytes(
            dict(rubbish=b'\0rubbish' * 99, empty=b'', truncated=whole[:200])[kind]
        )
    steps = pipeline(augment=False, test_mode=True, decoder=decoder)
    data = build(path, test_mode=True, pipeline=steps)
    assert data[0]['data_samples'].sample_id == 0
    message = r"clip '.*clip01\.mp4' of '.*train\.txt' cannot be read: [^\n]*$"
    with pytest.raises(RuntimeError, match=message) as info:
        data[1]
    assert '\n' not in str(info.value)


def test_a_list_without_a_readable_clip_raises_and_names_one(tmp_path: Path) -> None:
    data = build(write_list(tmp_path, 3, broken=(0, 1, 2)))
    message = r'50 clips in a row cannot be read.*clip0\d\.mp4.*check data_prefix'
    with pytest.raises(RuntimeError, match=message):
        data[SampleKey(0, 0, 0)]


def test_a_mistake_in_the_pipeline_is_no_broken_clip(clips: str) -> None:
    data = build(clips)

    def fails(results: dict) -> dict:
        raise TypeError('a mistake')

    data.dataset.pipeline.transforms.append(fails)
    with pytest.raises(TypeError, match='a mistake'):
        data[0]


def test_a_clip_too_small_for_a_crop_is_named(clips: str) -> None:
    steps = pipeline()
    steps.insert(4, dict(type='RandomCrop', size=64))
    with pytest.raises(UnfitPipelineError, match=r"clip '.*mp4': a picture of this"):
        build(clips, pipeline=steps)[0]


@pytest.mark.parametrize('workers', [0, 1])
def test_a_run_names_each_unreadable_clip_once_and_counts_its_replacements(
    tmp_path: Path, workers: int
) -> None:
    path = write_list(tmp_path, 6, broken=(1, 4))
    _, seeding = run(tmp_path / 'run', path, workers, epochs=3)
    # each epoch meets both, and may draw a broken one in place of a broken one
    (log,) = (tmp_path / 'run').glob('*/*.log')
    lines = log.read_text().splitlines()
    warnings = [line for line in lines if 'unreadable clip replaced' in line]
    assert len(warnings) == 2
    assert {line[line.index('clip0') :][:6] for line in warnings} == {
        'clip01',
        'clip04',
    }
    assert all('WARNING' in line and 'so far' in line for line in warnings)
    assert seeding.skipped >= 6
    data = build(path)
    expected = sum(
        len(data[SampleKey(i, epoch, 4)]['data_samples'].metainfo.get('skipped', ()))
        for epoch in range(3)
        for i in range(6)
    )
    assert seeding.skipped == expected
    summary = f'{expected} samples were replaced in this run: 2 clips cannot be read'
    assert any(summary in line for line in lines)
