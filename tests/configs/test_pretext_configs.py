"""Pretext tasks, and the teachers that start from them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from published import (
    AFTER_COHERENCE,
    MAIN,
    PRETEXT,
    ROOT,
    SELF_SUPERVISED,
    datasets,
    every_word,
    motions_like,
    parsed,
)

from mmvkd.engine import launch
from mmvkd.registry import TRANSFORMS as OUR_TRANSFORMS


@every_word
def test_a_pretext_config_asks_its_task_of_the_same_clips_in_every_loader(
    data: str,
) -> None:
    teacher = datasets(parsed(data, 'teachers/tsm_r50.py'))
    tasks = set()
    for name in PRETEXT:
        config = parsed(data, name)
        for stage in ('train', 'val', 'test'):
            dataset = config[f'{stage}_dataloader'].dataset
            assert dataset.type == 'mmvkd.PretextDataset', name
            assert dataset.dataset.ann_file == teacher[stage].ann_file
            # the ten crops of a test would be ten questions
            like = teacher['train' if stage == 'train' else 'val']
            assert dataset.dataset.pipeline == like.pipeline
            task = OUR_TRANSFORMS.build(dataset.task)
            assert task.num_classes == config.model.cls_head.num_classes, name
            tasks.add(type(task))
        assert config.work_dir == f'work_dirs/{data}/pretext/{Path(name).stem}'
        assert 'torchvision://' not in str(config.model)
    assert len(tasks) == len(PRETEXT) == 5


def after(pretext: Config) -> dict[str, str]:
    """How a backbone goes on from a pretext run."""
    name = Path(pretext.work_dir).name
    recipe = f'python tools/train.py mmvkd::pretext/{name}.py'
    return dict(
        type='Pretrained',
        checkpoint=f'run://{pretext.work_dir}?recipe={recipe}',
        prefix='backbone',
    )


@every_word
def test_tasks_that_ask_where_a_part_stands_go_on_from_coherence(data: str) -> None:
    coherence = parsed(data, 'pretext/coherence_tsm_r50.py')
    for name in PRETEXT:
        start = parsed(data, name).model.backbone.get('init_cfg')
        assert (start == after(coherence)) is (name in AFTER_COHERENCE), name


@every_word
def test_a_self_supervised_teacher_starts_from_its_pretext_run_alone(data: str) -> None:
    for name in SELF_SUPERVISED:
        backbone = parsed(data, name).model.backbone
        pretext = parsed(data, name.replace('teachers/', 'pretext/'))
        assert backbone.init_cfg == after(pretext)
        assert backbone.pretrained is None
        assert backbone.frozen_stages == -1


@pytest.mark.parametrize('name', SELF_SUPERVISED)
def test_one_word_makes_a_linear_probe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_PROBE', 'linear')
    config = Config.fromfile(ROOT / 'configs' / name)
    assert config.model.backbone.frozen_stages == 4
    assert config.find_unused_parameters
    assert config.work_dir == f'work_dirs/motions/linear/{Path(name).stem}'
    monkeypatch.setenv('MMVKD_TEACHERS', Path(name).stem.removesuffix('_tsm_r50'))
    main = Config.fromfile(ROOT / 'configs' / MAIN)
    (teacher,) = main.model.teachers.values()
    assert teacher.checkpoint == config.work_dir
    assert 'find_unused_parameters' not in main
    monkeypatch.setenv('MMVKD_PROBE', 'linaer')
    with pytest.raises(FileNotFoundError, match=r'linaer\.py.*does not exist'):
        launch.load_config(str(ROOT / 'configs' / name))


def test_a_linear_probe_learns_in_its_last_layer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('MMVKD_PROBE', 'linear')
    config = Config.fromfile(ROOT / 'configs' / SELF_SUPERVISED[0])
    del config.model.backbone.init_cfg
    config.model.backbone.depth, config.model.cls_head.in_channels = 18, 512
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.train()
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        model.train_step(motions_like(config.model, 1), wrapper)
    changed = {
        k for k, v in model.state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed == {'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'}
