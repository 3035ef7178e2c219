"""DistillCheckHook."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from recognizer_toys import distiller, plain
from toys import tiny_tsm

from mmvkd.engine.hooks import DistillCheckHook

OURS = 'mmvkd.DistillOptimWrapperConstructor'


def told_before(model: Any, wrapper: Any) -> list[str]:
    """What a run is warned of before it begins."""
    told: list[str] = []
    logger = SimpleNamespace(warning=told.append)
    run = SimpleNamespace(model=model, logger=logger, optim_wrapper=wrapper)
    DistillCheckHook().before_train(run)
    return told


@pytest.mark.parametrize('constructor', [OURS, 'DefaultOptimWrapperConstructor'])
def test_scales_among_the_weights_are_told(constructor: str) -> None:
    model = distiller(balancer=dict(type='mmvkd.UncertaintyBalancer'))
    optimizer = dict(type='SGD', lr=0.1, weight_decay=0.01)
    wrapper = build_optim_wrapper(
        model, dict(optimizer=optimizer, constructor=constructor)
    )
    told = told_before(model, wrapper)
    assert [OURS in line for line in told] == ([] if constructor == OURS else [True])


@pytest.mark.parametrize('balancer', ['FixedBalancer', 'UncertaintyBalancer'])
def test_several_optimizers_pass(balancer: str) -> None:
    for model in (
        plain(tiny_tsm()),
        distiller(balancer=dict(type=f'mmvkd.{balancer}')),
    ):
        wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
        assert told_before(model, OptimWrapperDict(all=wrapper)) == []


def told_after(
    labels: list[int], accuracies: list[float], checkpoint: str = 't.pth'
) -> list[str]:
    """What is told after two epochs of steps with these accuracies."""
    told: list[str] = []
    samples = [ActionDataSample().set_gt_label(label) for label in labels]
    logger = SimpleNamespace(warning=told.append)
    model = distiller()
    model.teachers['t'].checkpoint = checkpoint
    run = SimpleNamespace(model=model, logger=logger, epoch=0)
    hook = DistillCheckHook()
    for run.epoch in (0, 1):
        for step, accuracy in enumerate(accuracies):
            outputs = dict(t_top1_acc=torch.tensor(accuracy))
            hook.after_train_iter(run, step, dict(data_samples=samples), outputs)
        hook.after_train_epoch(run)
    return told


def test_a_teacher_that_knows_no_more_than_chance_is_told_once() -> None:
    # 4 classes: of 200 clips, 25 % +- 3 · 3.1 % are right by chance
    assert told_after([0, 1], [0.0, 1.0] * 50) == []
    (line,) = told_after([0, 1], [0.0, 0.6] * 50)
    assert "teacher 't' ranked the label first for 30.0% of 200 clips" in line
    assert '(25.0%)' in line


def test_only_labeled_clips_count() -> None:
    # 40 % of 200 clips are more than chance, of 20 they are not
    assert told_after([0, 1], [0.4] * 100) == []
    (line,) = told_after([-1, 1, -1], [0.4] * 20)
    assert 'of 20 clips' in line


def test_few_clips_do_not_accuse_a_teacher_that_is_right() -> None:
    assert told_after([0], [1.0]) == []


def test_a_random_teacher_is_meant_to_know_nothing() -> None:
    assert told_after([0, 1], [0.0] * 100, 'random') == []
