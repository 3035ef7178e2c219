"""The worked example of configs/distill/README.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mmengine
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from videos import write_list

from mmvkd.models.recognizers import build_recognizer, without_pretrained

README = Path(__file__).parents[1] / 'configs' / 'distill' / 'README.md'
TEACHER = """
_base_ = [
    'mmaction::recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'
]
model = dict(cls_head=dict(num_classes=10))
"""
CPU = dict(batch_size=2, num_workers=0, persistent_workers=False)


def examples() -> dict[str, str]:
    """The files that the README shows, by their names in the first line."""
    blocks = re.findall(r'```python\n# (\S+\.py)\n(.*?)```', README.read_text(), re.S)
    return dict(blocks)


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's project: its two configs, its videos and its teacher."""
    folder = tmp_path_factory.mktemp('project')
    for name, text in examples().items():
        (folder / name).write_text(text)
    data = folder / 'data' / 'mine'
    data.mkdir(parents=True)
    write_list(data, 4, 'train')
    write_list(data, 4, 'val')
    (folder / 'tsm_r50.py').write_text(TEACHER)
    (folder / 'work_dirs' / 'tsm_r50').mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the project's folder, as its user does."""
    monkeypatch.chdir(project)
    torch.set_num_threads(1)


def small(name: str, work_dir: str) -> Config:
    """A config of the project, made to run on a CPU in seconds and without network."""
    config = Config.fromfile(name)
    plain = config.model.get('student', config.model)
    plain.backbone.update(pretrained=None, pretrained2d=False)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[key].update(CPU)
        dataset = config[key].dataset
        for step in dataset.get('dataset', dataset).pipeline:
            if step.type == 'Resize' and step.scale == (224, 224):
                step.scale = (48, 48)
            elif step.type in ('CenterCrop', 'TenCrop'):
                step.crop_size = 48
    config.train_cfg.max_epochs = 1
    config.default_hooks.checkpoint.interval = 1
    config.work_dir = f'work_dirs/{work_dir}'
    return config


def save_teacher() -> None:
    """What training the teacher would leave behind."""
    torch.manual_seed(0)
    state = build_recognizer('teacher', without_pretrained('tsm_r50.py')).state_dict()
    path = Path('work_dirs', 'tsm_r50', 'best_acc_top1_epoch_50.pth')
    torch.save(dict(state_dict=state), path)


def score(config: Config, checkpoint: str) -> tuple[Runner, list[dict[str, Any]]]:
    """A test run of the config, and what it says of each clip."""
    config.load_from = checkpoint
    dump = f'{config.work_dir}.pkl'
    config.test_evaluator = [
        dict(type='AccMetric'),
        dict(type='DumpResults', out_file_path=dump),
    ]
    runner = Runner.from_cfg(config)
    runner.test()
    return runner, mmengine.load(dump)


def test_the_readme_shows_a_project_and_its_distilled_child() -> None:
    assert list(examples()) == [
        'tsm_r18.py',
        'tsm_r18_distilled.py',
        'tsm_r18_collaborative.py',
        'cosine_head.py',
        'tsm_r18_cosine.py',
    ]
    assert 'mmvkd' not in examples()['tsm_r18.py']


def test_the_child_trains_and_the_plain_config_scores_its_checkpoint(
    project: Path,
) -> None:
    save_teacher()
    runner = Runner.from_cfg(small('tsm_r18_distilled.py', 'distilled'))
    runner.train()
    assert runner.iter == 2
    assert 'train/loss_kd' in runner.message_hub.log_scalars

    checkpoint = str(project / 'work_dirs' / 'distilled' / 'epoch_1.pth')
    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    scores = []
    for name in ('tsm_r18', 'tsm_r18_distilled'):
        runner, results = score(small(f'{name}.py', f'test_{name}'), checkpoint)
        state = runner.model.state_dict()
        assert list(saved) == list(state)
        assert all(saved[key].equal(state[key]) for key in saved)
        scores.append(torch.stack([result['pred_score'] for result in results]))
    assert scores[0].shape == (4, 10)
    assert scores[0].equal(scores[1])


@pytest.mark.parametrize(
    ('name', 'terms'),
    [
        (
            'tsm_r18_collaborative',
            'spectrum_amplitude spectrum_coherence parameter_energy parameter_quantile',
        ),
        ('tsm_r18_cosine', 'kd cosine'),
    ],
)
def test_other_heads_train(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, terms: str
) -> None:
    monkeypatch.syspath_prepend(project)
    save_teacher()
    runner = Runner.from_cfg(small(f'{name}.py', name))
    runner.train()
    logged = set(runner.message_hub.log_scalars)
    assert {f'train/loss_{term}' for term in ('cls', *terms.split())} <= logged


def test_the_students_optimizer_is_that_of_the_project() -> None:
    plain, child = small('tsm_r18.py', 'p'), small('tsm_r18_distilled.py', 'c')
    groups = []
    for config in (plain, child):
        model = MODELS.build(config.model)
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        names = {
            id(p): n for n, p in getattr(model, 'student', model).named_parameters()
        }
        groups.append(
            [
                {**group, 'params': [names[id(p)] for p in group['params']]}
                for group in wrapper.optimizer.param_groups
            ]
        )
    assert groups[0] == groups[1]
