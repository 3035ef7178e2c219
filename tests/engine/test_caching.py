"""A cached teacher says what the online one says, of the same frames."""

from __future__ import annotations

import copy
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from recognizer_toys import config, file_of, plain, tiny_slowfast
from toys import tiny_tsm
from videos import dataset, pipeline, write_list, write_video

from mmvkd.datasets import SeededDataset, SeededSampler
from mmvkd.engine import caching
from mmvkd.engine.caching import write_stores
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher, recognizer
from mmvkd.models.teachers.store import Store, StoreError
from mmvkd.registry import DATASETS, MODELS
from mmvkd.seeding import cached_view

VIEWS = 2
HEADS = dict(
    kd=dict(type='mmvkd.KDHead'),
    graph=dict(type='mmvkd.LogitsGraphHead'),
    fitnets=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
)


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list of six clips."""
    return write_list(tmp_path_factory.mktemp('clips'), 6)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher's checkpoint."""
    init_default_scope('mmaction')
    model = plain(tiny_tsm(), seed=1)
    return file_of(model, tmp_path_factory.mktemp('teacher') / 't.pth')


def project(
    clips: str,
    weights: str,
    store: Path,
    heads: Any = None,
    views: Any = VIEWS,
    data: Any = None,
    **teacher: Any,
) -> Config:
    """Config of a distiller with a cached teacher, and its training set."""
    wrapper = dict(
        type='mmvkd.CachedTeacher',
        model=tiny_tsm(),
        checkpoint=weights,
        store=str(store),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='mmvkd.SeededSampler', shuffle=True, views=views),
        dataset=data or dataset(clips),
    )
    wrapper.update(teacher)
    model = config(teachers=dict(t=wrapper), heads=heads or HEADS)
    return Config(dict(model=model, train_dataloader=loader))


def runner(settings: Config, work_dir: Path) -> Runner:
    """Ready to train."""
    cfg = copy.deepcopy(settings.to_dict())
    return Runner(
        work_dir=str(work_dir),
        default_scope='mmaction',
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=[
            dict(type='mmvkd.SeedingHook'),
            dict(type='mmvkd.DataCheckHook'),
        ],
        randomness=dict(seed=3),
        log_level='ERROR',
        **cfg,
    )


def quiet(text: str) -> None:
    """Tell nothing."""


def test_the_cached_losses_are_the_online_ones(
    clips: str, weights: str, tmp_path: Path
) -> None:
    # of features, the store keeps the average over space
    heads = {name: HEADS[name] for name in ('kd', 'graph')}
    cfg = project(clips, weights, tmp_path / 's', heads)
    write_stores(cfg, quiet)
    data = DATASETS.build(cfg.train_dataloader.dataset)
    online = copy.deepcopy(cfg.model.to_dict())
    online['teachers']['t'] = dict(
        type='mmvkd.RecognizerTeacher', model=tiny_tsm(), checkpoint=weights
    )
    models = []
    for settings in (online, cfg.model.to_dict()):
        torch.manual_seed(0)
        models.append(MODELS.build(copy.deepcopy(settings)))
        models[-1].init_weights()
        models[-1].eval()
    models[1].teachers['t'].fits_data = True
    for view in range(VIEWS):
        entries = []
        for model in models:
            batch = pseudo_collate([data[cached_view(i, view)] for i in (4, 1)])
            inputs = model.data_preprocessor(batch, training=True)
            entries.append(model(**inputs, mode='loss'))
        assert entries[0].keys() == entries[1].keys()
        for key in entries[0]:
            if key.startswith('loss'):
                torch.testing.assert_close(
                    entries[1][key], entries[0][key], rtol=2e-3, atol=2e-4
                )
    # the two views are different augmentations
    kept = models[1].teachers['t'].store
    assert not torch.equal(kept.read([4], [0]).logits, kept.read([4], [1]).logits)


def test_a_run_with_a_cached_teacher_never_builds_it(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = project(clips, weights, tmp_path / 's')
    write_stores(cfg, quiet)
    monkeypatch.setattr(
        recognizer, 'build_recognizer', lambda *args: pytest.fail('built a teacher')
    )
    made = runner(cfg, tmp_path / 'run')
    made.train()
    keys = made.model.state_dict()
    assert not [key for key in keys if key.startswith('distill.') and 'teacher' in key]
    loss = made.message_hub.get_scalar('train/loss_kd').current()
    assert loss > 0


def test_epochs_take_the_views_in_turn_whatever_the_seed(clips: str) -> None:
    data = DATASETS.build(dataset(clips))
    seen = []
    for seed in (1, 2):
        sampler = SeededSampler(data, shuffle=True, seed=seed, views=2)
        keys = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            keys.append(list(sampler))
        assert {key.epoch for key in keys[0]} == {0} == {key.epoch for key in keys[2]}
        assert {key.epoch for key in keys[1]} == {1}
        assert {key.seed for part in keys for key in part} == {0}
        assert keys[0] != keys[2]
        seen.append(sorted(keys[0]))
    assert seen[0] == seen[1]
    with pytest.raises(ValueError, match='views=0, expected 1 or more'):
        SeededSampler(data, views=0)


def test_writing_goes_on_where_it_was_killed(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmvkd.models.teachers.store._SHARD', 5)
    whole = project(clips, weights, tmp_path / 'whole')
    write_stores(whole, quiet)
    cfg = project(clips, weights, tmp_path / 's')
    calls = []
    outputs = caching._outputs

    def dies(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return outputs(*args)

    monkeypatch.setattr(caching, '_outputs', dies)
    with pytest.raises(KeyboardInterrupt):
        write_stores(cfg, quiet)
    with pytest.raises(StoreError, match=r'1 of 3 shards.*cache_teacher\.py'):
        runner(cfg, tmp_path / 'run').train()
    # testing needs no store, nor a whole one
    MODELS.build(cfg.model.to_dict())
    lines: list[str] = []
    write_stores(cfg, lines.append)
    assert lines[-1].endswith('2 of 3 shards written')
    for name in ('entries.bin', 'shards.bin', 'classifier.npy'):
        there, anew = (tmp_path / x / name for x in ('s', 'whole'))
        assert there.read_bytes() == anew.read_bytes()


def test_several_processes_share_the_shards(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmvkd.models.teachers.store._SHARD', 5)
    write_stores(project(clips, weights, tmp_path / 'one'), quiet)
    cfg = project(clips, weights, tmp_path / 's')
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank, count in ((1, 1), (0, 2)):
        lines: list[str] = []
        monkeypatch.setenv('RANK', str(rank))
        write_stores(cfg, lines.append)
        assert lines[-1].endswith(f'{count} of 3 shards written')
    entries = [(tmp_path / x / 'entries.bin').read_bytes() for x in ('one', 's')]
    assert entries[0] == entries[1]


def refused(cfg: Config, folder: Path, message: str) -> None:
    """Training ends in one line before the first step."""
    with pytest.raises(StoreError, match=message):
        runner(cfg, folder).train()


def test_a_stale_store_is_refused_by_name(
    clips: str, weights: str, tmp_path: Path
) -> None:
    store = tmp_path / 's'
    refused(project(clips, weights, store), tmp_path, r'no store .*cache_teacher\.py')
    write_stores(project(clips, weights, store), quiet)
    other = file_of(plain(tiny_tsm(), seed=2), tmp_path / 'other.pth')
    refused(project(clips, other, store), tmp_path, 'weights was .*, now')
    changed = tiny_tsm()
    changed['cls_head']['dropout_ratio'] = 0.25
    refused(project(clips, weights, store, model=changed), tmp_path, 'model was')
    half = dict(precision='bf16')
    refused(project(clips, weights, store, **half), tmp_path, 'precision was fp32')
    view = dict(view=dict(size=24))
    refused(
        project(clips, weights, store, **view), tmp_path, 'view.size was absent, now 24'
    )
    lists = write_list(tmp_path / 'others', 6)
    refused(project(lists, weights, store), tmp_path, 'list was')
    larger = dataset(clips, pipeline=pipeline(size=40))
    refused(
        project(clips, weights, store, data=larger),
        tmp_path,
        r'pipeline was Resize.*32.*now Resize.*40',
    )
    pyav = dataset(clips, pipeline=pipeline(decoder='PyAV'))
    refused(
        project(clips, weights, store, data=pyav),
        tmp_path,
        'pipeline was DecordInit.*now PyAVInit',
    )
    refused(project(clips, weights, store, views=None), tmp_path, 'has 2 views')
    refused(project(clips, weights, store, views=3), tmp_path, 'has 2 views')
    pooled = project(clips, weights, store, pool='clip')
    refused(pooled, tmp_path, 'pool was space, now clip')
    tap = dict(fitnets=dict(type='mmvkd.FitNetsHead', tap='backbone.layer3'))
    with pytest.raises(StoreError, match=r"lacks tap 'backbone\.layer3'"):
        runner(project(clips, weights, store, tap), tmp_path)

    def build(layout: str) -> None:
        said = dict(name='backbone.layer4', layout=layout)
        hint = dict(HEADS['fitnets'], teacher_tap=said)
        cfg = project(clips, weights, store, dict(fitnets=hint))
        MODELS.build(cfg.model.to_dict())

    build('NTCHW')
    told = r"'backbone\.layer4' with layout='NTCHW', a head says 'NHWC'"
    with pytest.raises(StoreError, match=told):
        build('NHWC')


def test_other_files_under_the_same_names_are_another_data_set(
    weights: str, tmp_path: Path
) -> None:
    lines = write_list(tmp_path / 'clips', 6)
    cfg = project(lines, weights, tmp_path / 's')
    write_stores(cfg, quiet)
    for file in (tmp_path / 'clips').rglob('*.mp4'):
        write_video(file, seed=9, frames=15)
    refused(cfg, tmp_path, 'bytes was')


def test_a_clip_that_could_not_be_read_has_no_entry(
    weights: str, tmp_path: Path
) -> None:
    lines = write_list(tmp_path / 'clips', 6)
    first = sorted((tmp_path / 'clips').rglob('*.mp4'))[0]
    first.rename(tmp_path / 'away.mp4')
    cfg = project(lines, weights, tmp_path / 's')
    told: list[str] = []
    write_stores(cfg, told.append)
    line = '2 views of clips that cannot be read have no entry; the same command tries'
    assert f'{line} them again' in told
    store = Store(str(tmp_path / 's'))
    store.read([1, 2], [0, 1])
    with pytest.raises(StoreError, match='clip 0 could not be read; the command that'):
        store.read([1, 0], [0, 0])


def failing(
    patch: pytest.MonkeyPatch, clip: int, times: int = sys.maxsize
) -> list[int]:
    """Let a clip fail to load; returns what failed, a list that grows."""
    loads, failed = SeededDataset._load, []

    def stale(dataset: SeededDataset, index: int) -> Any:
        if index == clip and len(failed) < times:
            failed.append(index)
            return None, 'Stale file handle'
        return loads(dataset, index)

    patch.setattr(SeededDataset, '_load', stale)
    return failed


def test_the_same_command_adds_a_clip_that_can_be_read_now(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, whole = (project(clips, weights, tmp_path / name) for name in ('s', 'whole'))
    write_stores(whole, quiet)
    with monkeypatch.context() as patch:
        failing(patch, clip=3)
        write_stores(cfg, quiet)
    with pytest.raises(StoreError, match='clip 3 could not be read'):
        Store(str(tmp_path / 's')).read([3], [0])
    write_stores(cfg, quiet)
    files = [(tmp_path / name / 'entries.bin').read_bytes() for name in ('s', 'whole')]
    assert files[0] == files[1]
    told: list[str] = []
    write_stores(cfg, told.append)
    assert told == [f"'{tmp_path / 's'}': 0 of 1 shards written"]


def test_a_clip_that_fails_once_is_read_again(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failing(monkeypatch, clip=3, times=1)
    told: list[str] = []
    write_stores(project(clips, weights, tmp_path / 's'), told.append)
    assert len(failed) == 1 and not any('have no entry' in line for line in told)
    Store(str(tmp_path / 's')).read([3, 3], [0, 1])


def test_the_checkpoint_may_be_gone_once_the_store_is_there(
    clips: str, weights: str, tmp_path: Path
) -> None:
    gone = tmp_path / 'gone.pth'
    os.link(weights, gone)
    cfg = project(clips, str(gone), tmp_path / 's')
    write_stores(cfg, quiet)
    gone.unlink()
    runner(cfg, tmp_path / 'run').train()


def test_a_store_may_be_in_the_home_folder(
    clips: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    cfg = project(clips, weights, Path('~', 's'))
    write_stores(cfg, quiet)
    assert (tmp_path / 's' / 'store.json').is_file()
    # one without layouts, of an earlier version, goes on
    header = json.loads((tmp_path / 's' / 'store.json').read_text())
    assert header['layout'].pop('layouts') == {'backbone.layer4': 'NTCHW'}
    (tmp_path / 's' / 'store.json').write_text(json.dumps(header))
    write_stores(cfg, quiet)


def test_a_view_of_a_tuple_is_that_of_the_store(
    clips: str, weights: str, tmp_path: Path
) -> None:
    cfg = project(clips, weights, tmp_path / 's', view=dict(size=(24, 24)))
    write_stores(cfg, quiet)
    write_stores(cfg, quiet)
    runner(cfg, tmp_path / 'run').train()


def test_testing_needs_no_store(clips: str, weights: str, tmp_path: Path) -> None:
    cfg = project(clips, weights, tmp_path / 'nowhere')
    model = MODELS.build(cfg.model.to_dict())
    shape = model.heads['fitnets'].connectors['t'].conv.weight.shape
    assert tuple(shape[:2]) == (512, 512)


def test_a_store_that_was_not_compared_with_the_data_is_refused(
    clips: str, weights: str, tmp_path: Path
) -> None:
    cfg = project(clips, weights, tmp_path / 's')
    write_stores(cfg, quiet)
    made = runner(cfg, tmp_path / 'run')
    made._hooks = [h for h in made._hooks if type(h).__name__ != 'DataCheckHook']
    with pytest.raises(StoreError, match='DataCheckHook'):
        made.train()


def test_blending_is_refused(clips: str, weights: str, tmp_path: Path) -> None:
    cfg = project(clips, weights, tmp_path / 's')
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=4, alpha=0.2
    )
    cfg.model.student = student
    with pytest.raises(ValueError, match=r"MixupBlending .* store of teacher 't'"):
        MODELS.build(cfg.model.to_dict())
    # nor is the store written from blended clips
    with pytest.raises(ValueError, match=r"MixupBlending .* store of teacher 't'"):
        write_stores(cfg, quiet)
    assert not (tmp_path / 's').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(views=None), 'has no `views`'),
        (dict(type='mmvkd.RecognizerTeacher'), 'no teacher of type'),
        (dict(checkpoint='random'), "checkpoint='random'"),
    ],
)
def test_what_cannot_be_cached_is_said(
    clips: str, weights: str, tmp_path: Path, change: dict, message: str
) -> None:
    cfg = project(clips, weights, tmp_path / 's', **change)
    if 'type' in change:
        del cfg.model.teachers.t.store
    with pytest.raises(ValueError, match=message):
        write_stores(cfg, quiet)


def test_a_cached_teacher_takes_every_setting_of_the_online_one() -> None:
    cached, online = (
        dict(inspect.signature(kind).parameters)
        for kind in (CachedTeacher, RecognizerTeacher)
    )
    assert {name: cached.get(name) for name in online} == online


def test_the_frames_that_a_3d_teachers_config_samples_are_those_of_the_store(
    weights: str, tmp_path: Path
) -> None:
    prints = []
    for frames in (8, 16):
        sample = dict(type='SampleFrames', clip_len=frames, frame_interval=2)
        loader = dict(dataset=dict(type='VideoDataset', pipeline=[sample]))
        named = tmp_path / f'{frames}.py'
        Config(dict(model=tiny_slowfast(), val_dataloader=loader)).dump(named)
        made = CachedTeacher(str(named), weights, str(tmp_path / 's'))
        prints.append(made.fingerprint())
        said = CachedTeacher(str(named), weights, 's', view=dict(num_frames=4))
        assert said.fingerprint()['view'] == dict(num_frames=4)
    assert [made['view'] for made in prints] == [
        dict(num_frames=8),
        dict(num_frames=16),
    ]
    assert prints[0]['model'] == prints[1]['model']
