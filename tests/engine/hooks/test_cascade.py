"""Phases: what learns, what is frozen, in one process and in two, killed or not."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from recognizer_toys import plain
from runs import fork, run_config, tiny_student, train
from test_distributed import RANKS, free_port, train_as_rank
from test_resume import Run, assert_equal
from torch import Tensor
from videos import write_list

from mmvkd.engine.hooks import CascadeHook
from mmvkd.phases import lengths_of, phase_at

PHASES: dict[str, Any] = dict(
    front=dict(
        epochs=1,
        train=['stage1'],
        heads=dict(substage=dict(stages=['stage1'])),
        label=False,
    ),
    back=dict(
        epochs=1,
        train=['backbone.layer2', 'head'],
        heads=dict(kd={}, substage=dict(terms=['distribution'])),
        lr=0.5,
    ),
    whole=dict(),
)
LIVE = dict(
    front=('backbone.conv1', 'backbone.layer1', 'substage.connectors.tsm.stage1'),
    back=('backbone.layer2', 'cls_head', 'substage.connectors.tsm.'),
    whole=(
        'backbone',
        'cls_head',
        'substage.connectors',
        'fitnets.connectors',
        'graph.',
    ),
)
"""Parts of the names of what learns in each phase."""


class RecordHook(Hook):
    """Writes down the gradients of the first step of each epoch, and all states."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.gradients: list[dict[str, Optional[Tensor]]] = []
        self.states: list[dict[str, Tensor]] = []
        self.optimizers: list[dict] = []
        self.rates: list[float] = []
        self.compiled: list[bool] = []

    def before_train(self, runner: Runner) -> None:
        step = runner.optim_wrapper.step

        def recorded(**kwargs: Any) -> None:
            if runner.iter % len(runner.train_dataloader) == 0:
                model = getattr(runner.model, 'module', runner.model)
                self.gradients.append(
                    {
                        name: None if p.grad is None else p.grad.clone()
                        for name, p in model.named_parameters()
                    }
                )
            self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
            step(**kwargs)

        runner.optim_wrapper.step = recorded
        self._keep(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._keep(runner)
        self.compiled.append('train_step' in vars(runner.model))

    def after_train(self, runner: Runner) -> None:
        path = self.path.format(rank=runner.rank)
        kept = {k: v for k, v in vars(self).items() if k != 'path'}
        torch.save(kept, path)

    def _keep(self, runner: Runner) -> None:
        model = getattr(runner.model, 'module', runner.model)
        self.states.append({k: v.clone() for k, v in model.state_dict().items()})
        self.optimizers.append(copy.deepcopy(runner.optim_wrapper.state_dict()))


if 'RecordHook' not in HOOKS:
    HOOKS.register_module(module=RecordHook)


def changes(phases: Any = None, **head: Any) -> dict[str, Any]:
    """What makes :func:`runs.run_config` a cascade."""
    phases = copy.deepcopy(PHASES if phases is None else phases)
    teacher = dict(model=dict(_delete_=True, **tiny_student()))
    head = dict(
        type='mmvkd.SubstageHead',
        terms=dict(combination=1.0, distribution=1.0),
        hybrids='all',
        combined=['stage1'],
        **head,
    )
    ends = dict(teacher_tap='backbone.layer2')
    return dict(
        model=dict(
            teachers=dict(tsm=teacher),
            heads=dict(substage=head, fitnets=ends, graph=ends),
        ),
        default_hooks=dict(cascade=dict(type='mmvkd.CascadeHook', phases=phases)),
        param_scheduler=[
            dict(
                type='mmvkd.PhaseLR',
                phases=phases,
                end_factor=0.1,
                convert_to_iter_based=True,
            )
        ],
    )


@pytest.fixture(scope='module')
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Annotation lists of small clips."""
    folder = tmp_path_factory.mktemp('clips')
    return write_list(folder, 8), write_list(folder, 3, 'val')


def cascade(folder: Path, lists: tuple[str, str], **more: Any) -> Config:
    config = run_config(str(folder / 'work'), *lists, **changes())
    config.custom_hooks.append(dict(type='RecordHook', path=str(folder / '{rank}.pth')))
    config.merge_from_dict(more)
    return config


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


# What does not fit


def wrong(name: str, **phase: Any) -> dict[str, Any]:
    phases = copy.deepcopy(PHASES)
    phases[name].update(phase)
    return phases


@pytest.mark.parametrize(
    ('phases', 'match'),
    [
        (
            wrong('front', train=['stage3']),
            r"'front' trains 'stage3'.* stage1, stage2, h",
        ),
        (wrong('front', train='stage1'), "train of phase 'front' is a list of names"),
        (wrong('front', heads=dict(none={})), "head 'none'; the model has kd, dist"),
        (wrong('front', epochs=-1), "'front' has epochs=-1, expected 0 or more"),
        (wrong('back', epochs=2), "last one, 'whole', take 3: it needs 4 at least"),
        (wrong('whole', epochs=2), "1 are left .*'whole'; it has epochs=2"),
        (wrong('whole', train=['head']), "the last phase, 'whole', trains the whole"),
        (wrong('back', rate=1), "phase 'back' has no field 'rate'; known: epochs, tr"),
        (wrong('front', heads=['substage']), "heads of phase 'front' is a dict of wha"),
        (
            wrong('back', heads=dict(substage=dict(stages=['stage5']))),
            "phase 'back', head 'substage': stages: 'stage5' is not one of",
        ),
        (
            wrong('back', heads=dict(kd=dict(stages=['stage1']))),
            "phase 'back', head 'kd': KDHead has no parts to choose, got",
        ),
        (wrong('back', heads={}, label=False), "'back' has neither heads nor label"),
        ({}, 'phases is empty'),
    ],
)
def test_a_wrong_phase_is_told_before_the_first_step(
    tmp_path: Path, lists: tuple[str, str], phases: dict, match: str
) -> None:
    runner = Runner.from_cfg(cascade(tmp_path, lists, param_scheduler=[]))
    (hook,) = (h for h in runner._hooks if isinstance(h, CascadeHook))
    hook.phases = phases
    with pytest.raises(ValueError, match=match):
        runner.train()
    assert runner.iter == 0


def test_a_phase_of_stages_that_the_student_freezes_is_told(
    tmp_path: Path, lists: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    config = cascade(tmp_path, lists)
    config.model.student.backbone.frozen_stages = 1
    runner = Runner.from_cfg(config)
    runner.logger.setLevel('WARNING')
    runner.logger.addHandler(caplog.handler)
    runner.train()
    told = [r.getMessage() for r in caplog.records if 'student freezes' in r.message]
    assert len(told) == 1
    assert told[0].startswith("phase 'front' trains stage1, all of which the student")
    frozen = [
        p.requires_grad for p in runner.model.student.backbone.layer1.parameters()
    ]
    assert not any(frozen)


def test_a_scheduler_of_other_phases_is_refused(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    other = dict(type='mmvkd.PhaseLR', phases=dict(a=dict(epochs=2), b={}))
    runner = Runner.from_cfg(cascade(tmp_path, lists, param_scheduler=[other]))
    with pytest.raises(ValueError, match=r'last \[1, 1, 1\] epochs.*PhaseLR \[2, 1\]'):
        runner.train()


@pytest.mark.parametrize('schedulers', [0, 1])
def test_a_rate_that_no_scheduler_sets_is_refused(
    tmp_path: Path, lists: tuple[str, str], schedulers: int
) -> None:
    phases = {name: dict(phase, lr=0.7) for name, phase in PHASES.items()}
    other = [dict(type='mmvkd.PhaseLR', phases=phases)]
    runner = Runner.from_cfg(
        cascade(tmp_path, lists, param_scheduler=other[:schedulers])
    )
    with pytest.raises(ValueError, match=r'have the rates .* add .*PhaseLR'):
        runner.train()
    assert runner.iter == 0


def test_a_rate_of_phases_beside_a_schedule_with_a_floor_is_refused(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    config = cascade(tmp_path, lists)
    floor = dict(type='CosineAnnealingLR', T_max=3, eta_min_ratio=0.01)
    config.param_scheduler.append(floor)
    runner = Runner.from_cfg(config)
    with pytest.raises(ValueError, match=r'own \(eta_min_ratio=0.01\).*PhaseLR'):
        runner.train()
    assert runner.iter == 0


def test_a_student_alone_has_no_cascade(tmp_path: Path) -> None:
    hook = CascadeHook(PHASES)
    with pytest.raises(ValueError, match=r'for a mmvkd.VideoDistiller, not a Recogn'):
        hook.before_train(type('R', (), dict(model=plain(tiny_student()))))


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


def test_a_run_by_iterations_has_no_phases(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    config = cascade(tmp_path, lists, param_scheduler=[])
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=3)
    runner = Runner.from_cfg(config)
    (hook,) = (h for h in runner._hooks if isinstance(h, CascadeHook))
    with pytest.raises(ValueError, match='by iterations counts as one epoch'):
        hook.before_train(runner)
