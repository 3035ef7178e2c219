"""A checkpoint of a distiller is the student's, plus what only training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import load_checkpoint
from recognizer_toys import (
    config,
    distiller,
    file_of,
    fitnets,
    kd_and_fitnets,
    plain,
    run,
)
from torch import nn
from toys import tiny_tsm


def student_keys(keys: Any) -> list[str]:
    return [key for key in keys if not key.startswith('distill.')]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of MMEngine's CheckpointHook, after an epoch with FitNets."""
    folder = tmp_path_factory.mktemp('run')
    run(config(heads=kd_and_fitnets()), folder)
    return folder / 'epoch_1.pth'


def test_a_checkpoint_file_has_the_plain_students_keys_in_order(
    checkpoint: Path,
) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert student_keys(state) == list(plain(tiny_tsm()).state_dict())
    rest = [key for key in state if key.startswith('distill.')]
    assert rest == [
        'distill.heads.hint.connectors.t.conv.weight',
        'distill.heads.hint.connectors.t.conv.bias',
    ]


def test_a_checkpoint_file_loads_strictly_into_the_plain_student(
    checkpoint: Path,
) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    state = {key: state[key] for key in student_keys(state)}
    student = plain(tiny_tsm())
    student.load_state_dict(state, strict=True)
    for key, value in student.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_checkpoint_file_loads_strictly_into_the_distiller(checkpoint: Path) -> None:
    model = distiller(heads=kd_and_fitnets())
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    load_checkpoint(model, str(checkpoint), strict=True)
    model.load_state_dict(state, strict=True)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_plain_student_checkpoint_loads_into_the_distiller(tmp_path: Path) -> None:
    student = plain(tiny_tsm(), seed=1)
    model = distiller(heads=kd_and_fitnets())
    load_checkpoint(model, file_of(student, tmp_path / 'plain.pth'), strict=False)
    for key, value in student.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    result = model.load_state_dict(student.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys and not student_keys(result.missing_keys)


def test_strict_loading_notices_a_foreign_and_a_missing_key() -> None:
    model = distiller(heads=kd_and_fitnets())
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r'backbone\.foreign'):
        model.load_state_dict({**state, 'backbone.foreign': torch.zeros(1)})
    state.pop('cls_head.fc_cls.weight')
    with pytest.raises(RuntimeError, match=r'cls_head\.fc_cls\.weight'):
        model.load_state_dict(state)


def test_the_state_dict_keeps_its_keys_inside_another_module() -> None:
    model = distiller(heads=kd_and_fitnets())
    outer = nn.ModuleDict(dict(module=model))
    assert list(outer.state_dict()) == [f'module.{key}' for key in model.state_dict()]
    outer.load_state_dict(outer.state_dict(), strict=True)


def test_the_state_dict_shares_memory_with_the_parameters() -> None:
    model = distiller()
    with torch.no_grad():
        model.state_dict()['cls_head.fc_cls.weight'].fill_(7)
    assert (model.student.cls_head.fc_cls.weight == 7).all()


def test_an_averaged_student_is_saved_as_a_student(tmp_path: Path) -> None:
    heads = dict(
        hint=fitnets(),
        graph=dict(type='mmvkd.LogitsGraphHead'),
        binary=dict(type='mmvkd.LogitsGraphHead', cost='binary'),
    )
    runner = run(
        config(heads=heads),
        tmp_path,
        epochs=2,
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
    )
    (hook,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    saved = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    trained, averaged = runner.model.state_dict(), hook.ema_model.module.state_dict()
    key = 'backbone.layer4.1.conv2.conv.weight'
    assert not torch.equal(trained[key], averaged[key])
    # the hook swaps: what is tested later is the average
    assert list(saved['state_dict']) == list(trained) == list(averaged)
    for name in trained:
        assert torch.equal(saved['state_dict'][name], averaged[name]), name
        swapped = saved['ema_state_dict'][f'module.{name}']
        assert torch.equal(swapped, trained[name]), name


GRAPHS = dict(
    logits=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    pairs=dict(type='mmvkd.RepresentationGraphHead', tap='backbone.layer4', dim=32),
)
KERNELS = dict(type='mmvkd.ParameterHead', interval=1)
STAGES = dict(parameter=KERNELS, substage=dict(type='mmvkd.SubstageHead'))
SPECTRA = dict(
    parameter=KERNELS, spectrum=dict(type='mmvkd.SpectrumHead', tap='backbone.layer4')
)


@pytest.mark.parametrize(
    ('heads', 'mutual'),
    [(GRAPHS, False), (STAGES, False), (SPECTRA, False), (SPECTRA, True)],
    ids=['graph', 'staged', 'collaborative', 'mutual'],
)
def test_an_average_pairs_what_belongs_together(
    heads: dict, mutual: bool, tmp_path: Path
) -> None:
    average = dict(type='EMAHook', momentum=0.5)
    model = config(heads=heads, mutual=mutual)
    runner = run(model, tmp_path, custom_hooks=[average])
    (hook,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    averaged = dict(hook.ema_model.module.named_buffers())
    trained = dict(runner.model.named_buffers())
    assert list(averaged) == list(trained)
    for name, value in trained.items():
        assert torch.equal(averaged[name], value), name


def test_an_averaged_run_resumes(tmp_path: Path) -> None:
    model = config(heads=kd_and_fitnets())
    hooks = dict(custom_hooks=[dict(type='EMAHook', momentum=0.5)])
    run(model, tmp_path / 'a', epochs=1, **hooks)
    path = str(tmp_path / 'a' / 'epoch_1.pth')
    runner = run(model, tmp_path / 'b', 2, load_from=path, resume=True, **hooks)
    assert runner.epoch == 2
