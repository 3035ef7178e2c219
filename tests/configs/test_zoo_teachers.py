"""Teachers of the model zoo are the models that MMAction2 publishes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from published import (
    MMACTION,
    parsed,
    zoo,
)

ZOO_TEACHERS = {
    'tsm_r50': 'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_{}-rgb',
    'tsn_r50': 'tsn_imagenet-pretrained-r50_8xb32-1x1x8-{}-rgb',
    'slowfast_r50': 'slowfast_r50_8xb8-4x16x1-256e_{}-rgb',
    'swin_tiny': 'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_{}-rgb',
}


def zoo_name(teacher: str, word: str) -> str:
    epochs = {'kinetics400': '100e', 'sthv2': '50e'}[word]
    filled = f'{epochs}_{word}' if teacher == 'tsn_r50' else word
    return ZOO_TEACHERS[teacher].format(filled)


@pytest.mark.parametrize(
    ('data', 'teacher'),
    [
        *(('kinetics400', teacher) for teacher in ZOO_TEACHERS),
        *(('sthv2', teacher) for teacher in ('tsm_r50', 'tsn_r50')),
    ],
    indirect=['data'],
)
def test_a_teacher_of_the_zoo_is_the_model_that_mmaction2_publishes(
    data: str, teacher: str
) -> None:
    config = parsed(data, f'teachers/{teacher}.py')
    name = zoo_name(teacher, data)
    folder = name.partition('_')[0].partition('-')[0]
    metafile = (
        MMACTION / 'configs' / 'recognition' / folder / 'metafile.yml'
    ).read_text()
    weights = [line.split()[-1] for line in metafile.splitlines() if 'Weights:' in line]
    assert config.checkpoints[teacher] in weights
    assert f'/{name}/' in config.checkpoints[teacher]
    other = zoo(f'{folder}/{name}.py')
    assert shapes(MODELS.build(config.model)) == shapes(MODELS.build(other.model))
    assert preprocessing(config) == preprocessing(other)


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def preprocessing(config: Config) -> list[Any]:
    settings = config.model.data_preprocessor
    return [settings[key] for key in ('mean', 'std')] + [settings.get('to_rgb', False)]
