"""The substage head: one hybrid a step, and what is in focus."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recognizer_toys import (
    backward,
    losses,
    without_gradient,
)
from substage_toys import STAGES, one_term, staged
from torch import nn
from toys import batch

from mmvkd.models import SubstageHead
from mmvkd.seeding import seed_shared


def draws(model: nn.Module, *keys: int) -> list[tuple[str, ...]]:
    """Which hybrids ran in steps of these keys."""
    ran: list[str] = []
    head = model.heads['s']
    combine = SubstageHead._combine

    def spy(name: str, stage: str, *args: Any) -> Any:
        ran.append(stage)
        return combine(head, name, stage, *args)

    head._combine = spy
    found = []
    for key in keys:
        seed_shared(key)
        # the generators of a process have no part in it
        torch.manual_seed(len(found))
        losses(model, batch())
        found.append(tuple(ran))
        ran.clear()
    return found


def test_the_hybrid_of_a_step_follows_from_its_seed_alone() -> None:
    model = staged()
    keys = [1, 2, 3, 4, 5, 6, 7, 8]
    first = draws(model, *keys)
    assert {len(ran) for ran in first} == {1}
    assert {ran[0] for ran in first} == set(STAGES[:2])
    assert draws(model, *reversed(keys)) == first[::-1]


def test_all_hybrids_run_if_asked_for() -> None:
    assert draws(staged(hybrids='all'), 1) == [STAGES[:2]]
    chosen = staged(hybrids='all', combined=['stage3', 'stage2'])
    assert draws(chosen, 1) == [('stage2', 'stage3')]


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(one_term('combination')),
        dict(one_term('combination', weighting='fixed', combined=['stage1'])),
        dict(correlation='cka', terms=dict(distribution=0.0)),
        dict(one_term('distribution', hybrids='all')),
    ],
)
def test_every_connector_gets_a_gradient_in_every_step(settings: dict) -> None:
    model = staged(**settings).train()
    for _ in range(2):
        model.zero_grad()
        backward(model, batch(clips=3))
        assert without_gradient(model) == []


# Focus


def test_in_focus_only_some_substages_and_terms_are_worked_on() -> None:
    model = staged().train()
    head = model.heads['s']
    head.focus(stages=['stage3', 'stage2'], terms=['combination', 'distribution'])
    entries = backward(model, batch())
    assert 'loss_s_correlation' not in entries
    assert [k for k in entries if 'weight' in k] == [
        's_weight_stage2',
        's_weight_stage3',
    ]
    known = head.distances[0] >= 0
    assert known.tolist() == [False, True, True]
    for stage, modules in head.connectors['t'].items():
        inside = stage in ('stage2', 'stage3')
        for parameter in modules.parameters():
            assert parameter.requires_grad is inside
            assert (parameter.grad is not None) is inside
    assert set(draws(model, 1, 2, 3)) == {('stage2',)}
    head.focus()
    backward(model, batch())
    assert without_gradient(model) == []


def test_a_substage_without_a_hybrid_has_the_other_terms() -> None:
    model = staged().train()
    model.heads['s'].focus(stages=['stage3'])
    entries = backward(model, batch())
    terms = [key for key in entries if key.startswith('loss_s')]
    assert terms == ['loss_s_correlation', 'loss_s_distribution']


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(stages=['stage5']), "stages: 'stage5' is not one of stage1, stage2"),
        (dict(terms=['shape']), "terms: 'shape' is not one of correlation, comb"),
        (dict(stages=[]), 'has nothing to do'),
        (dict(stages=['stage3'], terms=['combination']), 'has nothing to do'),
    ],
)
def test_a_wrong_focus_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        staged().heads['s'].focus(**wrong)
