"""Learned scales find the noise of each term, and come back from wherever they went."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from recognizer_toys import backward, config, distiller, losses, plain, run, step
from torch import Tensor
from toys import batch, tiny_tsm

from mmvkd.engine.optimizers.constructor import rate_of_scales
from mmvkd.models import UncertaintyBalancer

UNCERTAIN = dict(type='mmvkd.UncertaintyBalancer')
SGD = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.1)
ADAMW = dict(type='AdamW', lr=5e-3, weight_decay=0.1)
recipes = pytest.mark.parametrize('optimizer', [SGD, ADAMW], ids=['SGD', 'AdamW'])


def made(anchor: Optional[str] = 'cls', **kwargs: Any) -> UncertaintyBalancer:
    balancer = UncertaintyBalancer(anchor, **kwargs)
    balancer.attach(['a', 'b'])
    return balancer


def put(balancer: UncertaintyBalancer, **scales: float) -> None:
    with torch.no_grad():
        for name, value in scales.items():
            balancer.scales[name].fill_(value)


def objective(
    balancer: UncertaintyBalancer, values: dict[str, Tensor], **weights: float
) -> Tensor:
    """The sum that MMEngine makes of the entries."""
    terms = {name: value for name, value in values.items() if name != 'cls'}
    weights = {**dict.fromkeys(terms, 1.0), **weights}
    entries = balancer(dict(loss_cls=values['cls']), terms, weights)
    return torch.stack([v for name, v in entries.items() if 'loss' in name]).sum()


def tensors(**values: float) -> dict[str, Tensor]:
    return {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}


def optimizer_of(balancer: UncertaintyBalancer, optimizer: dict) -> Any:
    """As the constructor of the optimizer does, without decay and at its rate."""
    kwargs = {k: v for k, v in optimizer.items() if k != 'type'}
    kwargs.update(weight_decay=0.0)
    optim = getattr(torch.optim, optimizer['type'])(balancer.parameters(), **kwargs)
    optim.param_groups[0]['lr'] = rate_of_scales(balancer, optim)
    return optim


def learn(
    balancer: UncertaintyBalancer, optim: Any, steps: int, **values: float
) -> None:
    for _ in range(steps):
        optim.zero_grad()
        objective(balancer, tensors(**values)).backward()
        optim.step()


# The objective


def test_the_free_form_is_the_formula_and_has_its_gradient() -> None:
    balancer, values = made(anchor=None), tensors(cls=2.0, a=0.3, b=5.0)
    put(balancer, cls=0.4, a=-1.0, b=2.0)
    total = objective(balancer, values, b=3.0)
    total.backward()
    plain_scales = tensors(cls=0.4, a=-1.0, b=2.0)
    plain_values = tensors(cls=2.0, a=0.3, b=5.0)
    expected = sum(
        weight * 0.5 * ((-plain_scales[n]).exp() * plain_values[n] + plain_scales[n])
        for n, weight in (('cls', 1.0), ('a', 1.0), ('b', 3.0))
    )
    expected.backward()
    torch.testing.assert_close(total, expected)
    for name in values:
        torch.testing.assert_close(values[name].grad, plain_values[name].grad)
        torch.testing.assert_close(balancer.scales[name].grad, plain_scales[name].grad)


def test_the_anchor_leaves_the_classification_and_its_rate_as_they_are() -> None:
    balancer, values = made(), tensors(cls=2.0, a=0.3, b=5.0)
    put(balancer, cls=0.4, a=-1.0, b=2.0)
    entries = balancer(
        dict(loss_cls=values['cls'], top1_acc=torch.tensor(0.5)),
        dict(a=values['a'], b=values['b']),
        dict(a=1.0, b=3.0),
    )
    assert entries['loss_cls'] == 2.0 and entries['top1_acc'] == 0.5
    assert entries['loss_a'].item() == pytest.approx(0.3 * math.exp(1.4))
    assert entries['loss_b'].item() == pytest.approx(3 * 5 * math.exp(-1.6))
    for name, scale in (('cls', 0.4), ('a', -1.0), ('b', 2.0)):
        assert entries[f'scale_{name}'].item() == pytest.approx(scale)
        assert not entries[f'scale_{name}'].requires_grad


def test_the_anchor_does_not_change_what_the_scales_learn() -> None:
    gradients = []
    for anchor in ('cls', None):
        balancer = made(anchor)
        put(balancer, cls=0.4, a=-1.0, b=2.0)
        objective(balancer, tensors(cls=2.0, a=0.3, b=5.0)).backward()
        gradients.append([p.grad for p in balancer.parameters()])
    torch.testing.assert_close(*gradients)


# What it comes to


@recipes
def test_scales_become_the_logarithm_of_their_losses(optimizer: dict) -> None:
    balancer, values = made(), dict(cls=2.5, a=0.2, b=10.0)
    learn(balancer, optimizer_of(balancer, optimizer), 200, **values)
    for name, value in values.items():
        assert balancer.scales[name].item() == pytest.approx(math.log(value), abs=0.05)


@recipes
def test_weights_do_not_follow_the_noise_of_a_step(optimizer: dict) -> None:
    balancer, seen = made(), []
    optim = optimizer_of(balancer, optimizer)
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0)).exp()
    for level in (0.05 * noise).tolist():
        learn(balancer, optim, 1, cls=level, a=0.3, b=0.3)
        seen.append((balancer.scales['cls'] - balancer.scales['a']).exp().item())
    low, high = np.quantile(seen[500:], [0.05, 0.95])
    assert high < 4 * low


@recipes
def test_a_term_that_vanishes_and_comes_back_weighs_what_it_did(
    optimizer: dict,
) -> None:
    balancer = made(limit=4.0)
    optim = optimizer_of(balancer, optimizer)

    def share() -> float:
        """Of the term `a` in the objective, against the classification."""
        there = tensors(cls=1.0, a=1.0, b=1.0)
        objective(balancer, there).backward()
        return (there['a'].grad / there['cls'].grad).item()

    learn(balancer, optim, 20, cls=1.0, a=1.0, b=1.0)
    learn(balancer, optim, 120, cls=1.0, a=0.0, b=1.0)
    # heavy, but no heavier than the limit
    assert 20 < share() < 1.01 * math.exp(4.0)
    learn(balancer, optim, 250, cls=1.0, a=1.0, b=1.0)
    assert share() == pytest.approx(1, abs=0.2)
    assert balancer.scales['b'].item() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize('value', [0.0, 1e6])
def test_scales_stay_in_range(value: float) -> None:
    balancer = made(limit=2.0)
    put(balancer, a=7.0, b=-7.0)
    entries = balancer(
        dict(loss_cls=torch.tensor(1.0)),
        tensors(a=value, b=value),
        dict(a=1.0, b=1.0),
    )
    assert (entries['scale_a'], entries['scale_b']) == (2.0, -2.0)
    assert (balancer.scales['a'], balancer.scales['b']) == (2.0, -2.0)
    entries['loss_scales'].backward()
    # it can move away from the edge: the other way where the value asks for it
    assert (balancer.scales['a'].grad > 0) == (value == 0.0)
    assert balancer.scales['a'].grad != 0 and balancer.scales['b'].grad != 0


def test_a_batch_without_any_label_leaves_the_classifications_scale() -> None:
    balancer, values = made(), tensors(cls=0.0, a=0.3, b=5.0)
    put(balancer, cls=0.7)
    objective(balancer, values).backward()
    assert balancer.scales['cls'].grad == 0
    assert balancer.scales['a'].grad != 0
    assert values['a'].grad.item() == pytest.approx(math.exp(0.7))


def test_a_batch_without_any_label_leaves_the_scales_of_terms_that_need_one() -> None:
    balancer, values = made(), tensors(cls=0.0, a=0.0, b=0.0)
    balancer.attach(['a', 'b'], of_labels=['a'])
    objective(balancer, values).backward()
    assert balancer.scales['a'].grad == 0
    assert balancer.scales['b'].grad != 0


@pytest.mark.parametrize(
    ('head', 'terms'),
    [
        (dict(type='mmvkd.DKDHead'), ['h']),
        (dict(type='mmvkd.LogitsGraphHead', edges='learned'), ['h_edges']),
        (
            dict(
                type='mmvkd.RepresentationGraphHead',
                tap='backbone.layer4',
                dim=16,
                edges='learned',
            ),
            ['h_edges'],
        ),
        (
            dict(
                type='mmvkd.SubstageHead',
                terms=dict(combination=1.0),
                kd_weight=0,
                weighting='fixed',
            ),
            ['h_combination'],
        ),
    ],
)
def test_heads_say_which_terms_need_a_label(head: dict, terms: list[str]) -> None:
    model = distiller(heads=dict(h=head), balancer=UNCERTAIN)
    data = batch()
    for sample in data['data_samples']:
        sample.set_gt_label(-1)
    entries = step(model, data)
    for term in terms:
        assert entries[f'loss_{term}'] == 0
    backward(model, data)
    scales = model.balancer.scales
    zero = [name for name, scale in scales.items() if scale.grad == 0]
    assert sorted(zero) == sorted(['cls', *terms])


def test_what_a_phase_turns_off_keeps_its_scale_and_has_a_gradient() -> None:
    balancer, values = made(), tensors(a=0.3)
    put(balancer, cls=0.7, b=0.2)
    entries = balancer({}, values, dict(a=1.0))
    torch.stack([v for name, v in entries.items() if 'loss' in name]).sum().backward()
    assert balancer.scales['cls'].grad == 0 and balancer.scales['b'].grad == 0
    assert balancer.scales['a'].grad != 0
    assert values['a'].grad.item() == pytest.approx(math.exp(0.7))


def test_a_scale_out_of_focus_has_no_gradient() -> None:
    balancer, values = made(), tensors(a=0.3)
    balancer.focus(['a'])
    balancer({}, values, dict(a=1.0))['loss_scales'].backward()
    assert balancer.scales['cls'].grad is None and balancer.scales['b'].grad is None
    assert balancer.scales['a'].grad != 0
    balancer.focus(['cls', 'a', 'b'])
    assert all(scale.requires_grad for scale in balancer.scales.values())


def test_a_term_without_weight_neither_counts_nor_learns() -> None:
    balancer, values = made(), tensors(cls=1.0, a=0.3, b=5.0)
    objective(balancer, values, a=0.0).backward()
    assert balancer.scales['a'].grad == 0 and values['a'].grad == 0
    assert balancer.scales['b'].grad != 0


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(anchor='kd'), "anchor 'kd' is unknown; known: cls, None"),
        (dict(limit=0.0), 'limit must be above 0, got 0.0'),
    ],
)
def test_wrong_settings_are_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        UncertaintyBalancer(**wrong)


# In a distiller

HEADS = dict(dist=dict(type='mmvkd.DISTHead'), kd=dict(type='mmvkd.KDHead'))
NAMES = ['cls', 'dist_inter', 'dist_intra', 'kd']


def test_every_term_of_every_head_has_a_scale_that_is_logged() -> None:
    model = distiller(heads=HEADS, balancer=UNCERTAIN)
    values = step(model, batch())
    assert list(model.balancer.scales) == NAMES
    for name in NAMES:
        assert f'scale_{name}' in values


def test_a_weight_within_a_head_counts_whatever_the_scales_learn() -> None:
    light = dict(HEADS, dist=dict(type='mmvkd.DISTHead', intra_weight=0.25))
    whole, less = (
        losses(distiller(heads=heads, balancer=UNCERTAIN), batch())
        for heads in (HEADS, light)
    )
    for name in ('dist_inter', 'dist_intra', 'kd'):
        share = 0.25 if name == 'dist_intra' else 1
        torch.testing.assert_close(less[f'loss_{name}'], share * whole[f'loss_{name}'])
    gradients = []
    for heads in (HEADS, light):
        model = distiller(heads=heads, balancer=UNCERTAIN)
        backward(model, batch())
        gradients.append(model.balancer.scales['dist_intra'].grad)
    torch.testing.assert_close(gradients[1], 0.25 * gradients[0])


def test_a_term_that_its_head_does_not_declare_is_told() -> None:
    model = distiller(heads=HEADS, balancer=UNCERTAIN)
    model.heads['dist'].forward = lambda *args: dict(other=torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"'dist_other' has no scale.*cls, dist_inter"):
        step(model, batch())


@pytest.mark.parametrize(
    ('lr_mult', 'optimizer', 'rate'),
    [(7.0, SGD, 0.14), (None, SGD, 0.02), (None, ADAMW, 10 * ADAMW['lr'])],
)
def test_scales_have_a_rate_of_their_own_and_do_not_decay(
    lr_mult: Optional[float], optimizer: dict, rate: float
) -> None:
    model = distiller(heads=HEADS, balancer=dict(UNCERTAIN, lr_mult=lr_mult))
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(optimizer),
            constructor='mmvkd.DistillOptimWrapperConstructor',
        ),
    )
    group = wrapper.optimizer.param_groups[-1]
    own = list(model.balancer.parameters())
    assert [id(p) for p in group['params']] == [id(p) for p in own]
    assert group['weight_decay'] == 0 and group['lr'] == pytest.approx(rate)


def test_scales_are_saved_beside_the_students_weights(tmp_path: Path) -> None:
    recipe = dict(
        optimizer=dict(SGD), constructor='mmvkd.DistillOptimWrapperConstructor'
    )
    runner = run(
        config(heads=HEADS, balancer=UNCERTAIN), tmp_path, optim_wrapper=recipe
    )
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['state_dict']
    prefix = 'distill.balancer.scales.'
    scales = {key: value for key, value in saved.items() if key.startswith('distill.')}
    assert list(scales) == [f'{prefix}{name}' for name in NAMES]
    assert all(value != 0 for value in scales.values())
    assert [k for k in saved if k not in scales] == list(plain(tiny_tsm()).state_dict())
    other = copy.deepcopy(runner.model)
    put(other.distill['balancer'], kd=3.0)
    other.load_state_dict(saved)
    assert other.distill['balancer'].scales['kd'] == scales[f'{prefix}kd']


def test_a_batch_without_any_label_trains_by_the_other_terms() -> None:
    model = distiller(heads=HEADS, balancer=UNCERTAIN)
    data = batch()
    for sample in data['data_samples']:
        sample.set_gt_label(-1)
    entries = backward(model, data)
    assert all(torch.isfinite(value).all() for value in entries.values())
    gradient = model.student.cls_head.fc_cls.weight.grad
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
