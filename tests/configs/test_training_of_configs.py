"""Every config trains, and can be inherited."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from published import (
    AFTER_COHERENCE,
    MAIN,
    MMACTION,
    PLAIN,
    ROOT,
    SELF_SUPERVISED,
    every_name,
    motions_like,
    parsed,
    plain,
    recognizers,
)
from videos import write_list

from mmvkd.models.recognizers import build_recognizer
from mmvkd.seeding import seed_shared


@pytest.mark.parametrize('data', ['sthv1', 'hmdb51'], indirect=True)
@pytest.mark.parametrize('name', PLAIN)
def test_every_parameter_is_in_the_optimizer_once(data: str, name: str) -> None:
    config = parsed(data, name)
    model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    optimized = [
        id(p) for group in wrapper.optimizer.param_groups for p in group['params']
    ]
    assert sorted(optimized) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize('data', ['motions', 'ucf101'], indirect=True)
@pytest.mark.parametrize('name', [n for n in PLAIN if n not in SELF_SUPERVISED])
def test_models_start_from_imagenet_where_clips_are_large(data: str, name: str) -> None:
    text = str(parsed(data, name).model.backbone)
    fetches = any(mark in text for mark in ('://', 'Pretrained'))
    # SlowFast starts from nothing in MMAction2, too
    assert fetches is (data != 'motions' and 'slowfast' not in name)


@every_name
def test_the_loss_falls_on_one_repeated_batch(name: str) -> None:
    config = parsed('motions', name)
    student = recognizers('motions', config)['student']
    settings = copy.deepcopy(config.model)
    for teacher in settings.get('teachers', {}).values():
        teacher.checkpoint = 'random'
        if teacher.pop('store', None):
            teacher.type = 'mmvkd.RecognizerTeacher'
    if name in SELF_SUPERVISED + AFTER_COHERENCE:
        del settings.backbone.init_cfg  # there is no pretext run
    torch.manual_seed(0)
    model = MODELS.build(settings)
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batch = motions_like(student, config.train_dataloader.dataset.get('oversample', 1))
    losses = []
    for _ in range(3):
        # one dropout mask and one hybrid, so that losses compare
        torch.manual_seed(0)
        seed_shared(0)
        losses.append(model.train_step(batch, wrapper)['loss'].item())
    assert max(losses[1:]) < losses[0]


@pytest.mark.parametrize('style', ['name', 'relative', 'absolute'])
def test_a_config_can_be_inherited_by_name_and_by_path(
    style: str, tmp_path: Path
) -> None:
    base = {
        'name': f'mmvkd::{MAIN}',
        'relative': os.path.relpath(ROOT / 'configs' / MAIN, tmp_path),
        'absolute': str(ROOT / 'configs' / MAIN),
    }[style]
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = ['{base}']\n"
        'model = dict(heads=dict(logits_graph=dict(edges="uniform")))\n'
    )
    config, origin = Config.fromfile(child), parsed('motions', MAIN)
    assert config.model.heads.logits_graph.pop('edges') == 'uniform'
    expected = copy.deepcopy(origin)
    del expected.model.heads.logits_graph['edges']
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'custom_hooks'):
        assert plain(config[key]) == plain(expected[key])


TRAINS = """
_base_ = ['{base}']
model = dict(teachers=dict(tsm_r50=dict(checkpoint='random')))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(dataset=dict(ann_file='{train}', data_prefix=dict(video=''))))
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(ann_file='{val}', data_prefix=dict(video='')))
train_cfg = dict(max_epochs=1)
work_dir = '{work_dir}'
"""


def test_mmaction2s_own_script_trains_a_distiller(tmp_path: Path) -> None:
    config = tmp_path / 'child.py'
    config.write_text(
        TRAINS.format(
            base=ROOT / 'configs' / 'distill' / 'kd_tsm_r50_to_r18.py',
            train=write_list(tmp_path, 4, 'train'),
            val=write_list(tmp_path, 2, 'val'),
            work_dir=tmp_path / 'work',
        )
    )
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, str(MMACTION / 'tools' / 'train.py'), str(config)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)
    student = build_recognizer('student', 'mmvkd::students/tsm_r18.py')
    assert list(saved['state_dict']) == list(student.state_dict())
