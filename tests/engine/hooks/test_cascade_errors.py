"""Phases that do not fit the model, its schedule or the run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from cascade_toys import PHASES, cascade
from mmengine.runner import Runner
from recognizer_toys import plain
from runs import tiny_student

from mmvkd.engine.hooks import CascadeHook


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


def test_a_run_by_iterations_has_no_phases(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    config = cascade(tmp_path, lists, param_scheduler=[])
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=3)
    runner = Runner.from_cfg(config)
    (hook,) = (h for h in runner._hooks if isinstance(h, CascadeHook))
    with pytest.raises(ValueError, match='by iterations counts as one epoch'):
        hook.before_train(runner)
