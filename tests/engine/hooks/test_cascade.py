"""Phases: what learns, what is frozen, in one process and in two, killed or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cascade_toys import LIVE, PHASES, cascade, changes
from runs import fork, train
from test_distributed import RANKS, free_port, train_as_rank
from test_resume import Run, assert_equal
from torch import Tensor

from mmvkd.phases import lengths_of, phase_at


@pytest.fixture(scope='module')
def record(
    tmp_path_factory: pytest.TempPathFactory, lists: tuple[str, str]
) -> dict[str, Any]:
    """What happened in a run of one process."""
    folder = tmp_path_factory.mktemp('run')
    assert fork((recorded, (cascade(folder, lists).to_dict(),))) == [0]
    return torch.load(folder / '0.pth', weights_only=False)


def recorded(config: dict[str, Any], *rank_and_port: int) -> None:
    """Run a training with its records; the body of a child process."""
    if rank_and_port:
        train_as_rank(*rank_and_port, config)
    else:
        train(config)


def learns(name: str, phase: str) -> bool:
    return any(part in name for part in LIVE[phase])


def frozen(state: dict[str, Tensor], phase: str) -> dict[str, Tensor]:
    """Weights and statistics of the student, and weights of heads, left out."""
    return {
        k: v for k, v in state.items() if not learns(k, phase) and '.distances' not in k
    }


# One process


def test_exactly_what_a_phase_names_has_a_gradient(record: dict[str, Any]) -> None:
    for phase, gradients in zip(PHASES, record['gradients']):
        for name, gradient in gradients.items():
            assert (gradient is not None) == learns(name, phase), (phase, name)


def test_frozen_weights_and_batch_norm_statistics_stay(record: dict[str, Any]) -> None:
    states = record['states']
    for phase, before, after in zip(PHASES, states, states[1:]):
        kept = frozen(before, phase)
        if phase != 'whole':
            assert any('running_var' in name for name in kept)
        for name, value in kept.items():
            assert torch.equal(value, after[name]), (phase, name)
        moved = [k for k in before if not torch.equal(before[k], after[k])]
        for part in LIVE[phase]:
            assert any(part in name for name in moved), (phase, part)
        assert any('running_mean' in name for name in moved), phase


def test_the_optimizer_holds_all_and_its_state_of_frozen_parts_stays(
    record: dict[str, Any],
) -> None:
    names = list(record['gradients'][0])
    for index, phase in enumerate(PHASES):
        before, after = record['optimizers'][index : index + 2]
        held = [i for group in after['param_groups'] for i in group['params']]
        assert len(held) == len(names)
        for key, state in before['state'].items():
            if not learns(names[key], phase):
                assert torch.equal(
                    state['momentum_buffer'], after['state'][key]['momentum_buffer']
                )
        fresh = set(after['state']) - set(before['state'])
        assert all(learns(names[key], phase) for key in fresh), phase
    assert set(record['optimizers'][-1]['state']) == set(range(len(names)))


def test_the_rate_starts_anew_in_each_phase(record: dict[str, Any]) -> None:
    steps = len(record['rates']) // 3
    first, second, third = (
        record['rates'][i * steps : (i + 1) * steps] for i in range(3)
    )
    assert first == pytest.approx(third)
    assert second == pytest.approx([rate / 2 for rate in first])
    assert first[0] == pytest.approx(0.02)
    assert first == sorted(first, reverse=True)
    assert first[-1] < 0.02 * 0.5


# Killed


@pytest.fixture(scope='module')
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, lists: tuple[str, str]
) -> Run:
    run = Run(tmp_path_factory.mktemp('whole') / 'work', *lists)
    assert run.go(changes=changes()) == 0
    return run


@pytest.mark.parametrize(
    'kill',
    [
        pytest.param(('train', 1, 1), id='in the first phase'),
        pytest.param(('train', 2, 1), id='in the second'),
        pytest.param(('val', 2, 0), id='between two'),
        pytest.param(('train', 3, 2), id='in the last'),
    ],
)
def test_a_cascade_killed_anywhere_ends_like_the_uninterrupted_one(
    uninterrupted: Run, tmp_path: Path, kill: tuple
) -> None:
    run = replace(uninterrupted, folder=tmp_path / 'work')
    assert run.go(kill, changes=changes()) == -9
    assert run.go(resume=True, changes=changes()) == 0
    assert_equal(run, uninterrupted)


# Two processes


def test_two_processes_agree_in_the_first_step_of_each_phase_and_in_what_is_frozen(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    (tmp_path / 'work').mkdir()
    # compiled as one says, and then not really: that would take long
    config = cascade(tmp_path, lists, compile=dict(disable=True)).to_dict()
    port = free_port()
    calls = [(recorded, (config, rank, port)) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    one, two = (torch.load(tmp_path / f'{r}.pth', weights_only=False) for r in (0, 1))
    for phase, first, second in zip(PHASES, one['gradients'], two['gradients']):
        for name, gradient in first.items():
            assert (gradient is not None) == learns(name, phase), (phase, name)
            if gradient is not None:
                assert torch.equal(gradient, second[name]), (phase, name)
        assert any(g is not None and g.abs().sum() > 0 for g in first.values())
    for record in (one, two):
        assert all(record['compiled'])
        states = record['states']
        for phase, before, after in zip(PHASES, states, states[1:]):
            for name, value in frozen(before, phase).items():
                assert torch.equal(value, after[name]), (phase, name)
    weights = list(one['gradients'][0])
    for first, second in zip(one['states'], two['states']):
        for name in weights:
            key = name.replace('student.', '', 1)
            assert torch.equal(first[key], second[key]), name
        distances = 'distill.heads.substage.distances'
        assert torch.equal(first[distances], second[distances])


def test_two_processes_train_where_a_phase_leaves_what_learns_without_a_loss(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    (tmp_path / 'work').mkdir()
    # no label's loss reaches the classifier, nor one of the two hybrids all stages
    heads = dict(substage=dict(terms=['combination']))
    front = dict(epochs=1, label=False, heads=heads)
    config = cascade(tmp_path, lists, param_scheduler=[])
    config.model.heads.substage.hybrids = 'one'
    config.model.heads.substage.combined = ['stage1', 'stage2']
    config.default_hooks.cascade.phases = dict(front=front, whole={})
    port = free_port()
    calls = [(recorded, (config.to_dict(), rank, port)) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    one, two = (torch.load(tmp_path / f'{r}.pth', weights_only=False) for r in (0, 1))
    classifier = 'student.cls_head.fc_cls.weight'
    without = [step[classifier] is None for step in one['gradients']]
    assert without == [True, False, False]
    for first, second in zip(one['states'], two['states']):
        weight = 'backbone.layer1.0.conv1.conv.weight'
        assert torch.equal(first[weight], second[weight])


def test_two_processes_train_a_student_that_freezes_its_first_stage(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    (tmp_path / 'work').mkdir()
    config = cascade(tmp_path, lists)
    config.model.student.backbone.frozen_stages = 1
    port = free_port()
    calls = [(recorded, (config.to_dict(), rank, port)) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    record = torch.load(tmp_path / '0.pth', weights_only=False)
    first, *_, last = record['states']
    for layer, stays in (('layer1', True), ('layer2', False)):
        key = f'backbone.{layer}.0.conv1.conv.weight'
        assert torch.equal(first[key], last[key]) == stays


# Phases


def test_the_last_phase_gets_the_rest_of_the_run() -> None:
    phases = dict(a=dict(epochs=2), b=dict(epochs=3), c={})
    assert lengths_of(phases, 12) == [2, 3, 7]
    assert lengths_of(dict(c={}), 4) == [4]
    # one of no epochs is left out
    assert lengths_of(dict(a=dict(epochs=0), b={}), 2) == [0, 2]
    assert [phase_at(epoch, [0, 1, 0, 2]) for epoch in range(3)] == [1, 3, 3]
    numbers = [phase_at(epoch, [2, 3, 7]) for epoch in range(12)]
    assert numbers == [0] * 2 + [1] * 3 + [2] * 7
