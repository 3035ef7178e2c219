"""The rate of each phase, alone and beside MMEngine's schedulers."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

PHASES = dict(
    a=dict(epochs=2, train=['stage1']), skipped=dict(epochs=0, lr=9.0), b=dict(lr=0.5)
)


def rates(
    *schedulers: dict, steps: int, epoch_length: int = 1, groups: int = 1
) -> list[Any]:
    """The rate of each step."""
    weights = [dict(params=[torch.zeros(1)], lr=1.0 / (i + 1)) for i in range(groups)]
    wrapper = OptimWrapper(torch.optim.SGD(weights))
    built = [
        PARAM_SCHEDULERS.build(
            copy.deepcopy(scheduler),
            default_args=dict(optimizer=wrapper, epoch_length=epoch_length),
        )
        for scheduler in schedulers
    ]
    found = []
    for _ in range(steps):
        rate = [group['lr'] for group in wrapper.optimizer.param_groups]
        found.append(rate[0] if groups == 1 else rate)
        wrapper.step()
        for scheduler in built:
            scheduler.step()
    return found


def phase_lr(**settings: Any) -> dict[str, Any]:
    return dict(type='mmvkd.PhaseLR', phases=PHASES, **settings)


def test_each_phase_has_its_factor() -> None:
    assert rates(phase_lr(end=5), steps=5) == [1.0, 1.0, 0.5, 0.5, 0.5]


def test_within_a_phase_the_rate_falls_along_a_cosine() -> None:
    found = rates(
        phase_lr(end=4, end_factor=0.1, convert_to_iter_based=True),
        steps=16,
        epoch_length=4,
    )
    cosine = [0.1 + 0.9 * (1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]
    assert found == pytest.approx(cosine + [0.5 * value for value in cosine])


def test_beside_another_scheduler_it_is_a_factor() -> None:
    warm_up = dict(type='LinearLR', start_factor=0.25, begin=0, end=3)
    milestones = dict(type='MultiStepLR', milestones=[3], gamma=0.1, end=5)
    alone = rates(warm_up, milestones, steps=5)
    factors = rates(phase_lr(end=5), steps=5)
    both = rates(warm_up, phase_lr(end=5), milestones, steps=5)
    assert both == pytest.approx([a * f for a, f in zip(alone, factors)])


def test_groups_keep_their_proportions() -> None:
    found = rates(phase_lr(end=4, end_factor=0.5), steps=4, groups=2)
    assert all(second == pytest.approx(first / 2) for first, second in found)


def test_a_rate_of_zero_has_no_way_back() -> None:
    with pytest.raises(ValueError, match=r"'end_factor' is 0\.0, not above 0"):
        rates(phase_lr(end=4, end_factor=0.0), steps=1)
    wrong = dict(phase_lr(end=4), phases=dict(a=dict(epochs=1, lr=-1), b={}))
    with pytest.raises(ValueError, match="factor 'a' is -1, not above 0"):
        rates(wrong, steps=1)
