"""The published configs, read for each data set."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import mmaction
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config

from mmvkd.datasets import motions
from mmvkd.engine import launch
from mmvkd.models.recognizers import recognizer_config

ROOT = Path(__file__).parents[2]
FOLDERS = ('students', 'teachers', 'distill')
NAMES = [
    f'{folder}/{file.name}'
    for folder in FOLDERS
    for file in sorted((ROOT / 'configs' / folder).glob('*.py'))
]
PRETEXT = [
    f'pretext/{file.name}' for file in sorted((ROOT / 'configs/pretext').glob('*.py'))
]
SELF_SUPERVISED = [name.replace('pretext/', 'teachers/') for name in PRETEXT]
AFTER_COHERENCE = [f'pretext/{t}_tsm_r50.py' for t in ('sorting', 'odd_one_out')]
PLAIN = [name for name in NAMES if not name.startswith('distill/')]
DISTILL = [name for name in NAMES if name.startswith('distill/')]
MAIN = 'distill/graph_tsm_r50_to_r18.py'
TASKS = ('sorting', 'registration', 'coherence', 'odd_one_out')
CLASSES = dict(
    motions=len(motions.CLASSES),
    kinetics400=400,
    sthv1=174,
    sthv2=174,
    jester=27,
    ucf101=101,
    hmdb51=51,
    own=2,
)
WORDS = list(CLASSES)
MMACTION = Path(mmaction.__file__).parent / '.mim'
MAKERS = {
    word: f'prepare it with tools/data/{word} of MMAction2'
    for word in ('sthv1', 'sthv2', 'jester', 'ucf101', 'hmdb51')
}
MAKERS['kinetics400'] = 'prepare it with tools/data/kinetics of MMAction2'
MAKERS['motions'] = f'python {ROOT}/tools/data/make_motions.py data/motions'
MAKERS['own'] = 'MMVKD_TRAIN_LIST'


@cache
def parsed(word: str, name: str) -> Config:
    assert os.environ.get('MMVKD_DATA', 'motions') == word
    return Config.fromfile(ROOT / 'configs' / name)


@cache
def named(word: str, name: str) -> dict[str, Any]:
    assert os.environ.get('MMVKD_DATA', 'motions') == word
    return recognizer_config(name)


def zoo(name: str) -> Config:
    """A config of MMAction2."""
    return Config.fromfile(MMACTION / 'configs' / 'recognition' / name)


def recognizers(word: str, config: Config) -> dict[str, dict[str, Any]]:
    """The model dicts of student and teachers, by name."""
    model = config.model
    if model.type != 'mmvkd.VideoDistiller':
        return dict(student=recognizer_config(model))
    found = dict(student=named(word, model.student.config))
    for name, teacher in model.get('teachers', {}).items():
        found[name] = named(word, teacher.model.config)
    return found


def datasets(config: Config) -> dict[str, Any]:
    """The data sets of the three loaders, ours unwrapped."""
    wrapper = config.train_dataloader.dataset
    return dict(
        train=wrapper.dataset,
        val=config.val_dataloader.dataset,
        test=config.test_dataloader.dataset,
    )


def steps(pipeline: Any) -> list[dict[str, Any]]:
    """A pipeline as plain dicts, without where files come from."""
    plain = [step.to_dict() for step in pipeline]
    return [{k: s[k] for k in s if k not in ('io_backend', '_scope_')} for s in plain]


def plain(setting: Any) -> Any:
    """A setting as plain dicts and lists."""
    return Config(dict(setting=setting)).to_dict()['setting']


every_word = pytest.mark.parametrize('data', WORDS, indirect=True)
every_name = pytest.mark.parametrize('name', NAMES)


def motions_like(student: dict[str, Any], oversample: int) -> dict[str, Any]:
    """Four clips as the loader would give them, but smaller."""
    volumes = student['data_preprocessor']['format_shape'] == 'NCTHW'
    shape = (1, 3, 32, 32, 32) if volumes else (8 * oversample, 3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        for _ in range(4)
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in range(4)]
    return dict(inputs=inputs, data_samples=samples)


def first_error(config: Config, work_dir: Path) -> str:
    """What training ends in."""
    config = copy.deepcopy(config)
    config.work_dir, config.launcher = str(work_dir), 'none'
    config.log_level = 'ERROR'
    with pytest.raises(Exception) as caught:
        launch.build_runner(config).train()
    return str(caught.value)
