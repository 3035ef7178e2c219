"""Heads turn outputs into terms that vanish where student and teacher agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from logit_toys import logits, outputs, targets
from recognizer_toys import (
    distiller,
    file_of,
    losses,
    plain,
    step,
    teacher,
    tiny_tsn,
)
from torch import Tensor
from toys import batch, tiny_tsm

from mmvkd.models import (
    DISTHead,
    DistillationHead,
    DKDHead,
    FitNetsHead,
    IdentityConnector,
    KDHead,
    ZScoreKDHead,
)
from mmvkd.models.losses import kd_loss
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.registry import MODELS

HEADS = {
    'kd': dict(type='mmvkd.KDHead'),
    'zscore': dict(type='mmvkd.ZScoreKDHead'),
    'dist': dict(type='mmvkd.DISTHead'),
    'dkd': dict(type='mmvkd.DKDHead'),
    'hint': dict(
        type='mmvkd.FitNetsHead',
        tap='backbone.layer3',
        connector=dict(type='mmvkd.IdentityConnector'),
    ),
    'spectrum': dict(
        type='mmvkd.SpectrumHead',
        tap='backbone.layer3',
        terms=dict(amplitude=1.0, energy=1.0, coherence=1.0),
        connector=dict(type='mmvkd.IdentityConnector'),
    ),
    'parameter': dict(
        type='mmvkd.ParameterHead',
        terms=dict(energy=1.0, quantile=1.0),
        stages={'backbone.layer1': 'backbone.layer1'},
    ),
    'graph': dict(type='mmvkd.LogitsGraphHead'),
    'graph_binary': dict(type='mmvkd.LogitsGraphHead', cost='binary'),
    'graph_confidence': dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    'graph_barycenter': dict(type='mmvkd.LogitsGraphHead', barycenter=True),
    **{
        f'substage_{correlation}': dict(
            type='mmvkd.SubstageHead',
            correlation=correlation,
            terms=dict(combination=1.0, distribution=1.0),
            hybrids='all',
            ce_weight=0.0,
            connector=dict(type='mmvkd.IdentityConnector'),
        )
        for correlation in ('pearson', 'cka', 'gram')
    },
}


# Zero where they agree


@pytest.mark.parametrize('name', HEADS)
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    name: str, tmp_path: Path
) -> None:
    same = plain(tiny_tsm(), seed=0)
    with torch.no_grad():
        same.cls_head.fc_cls.weight.mul_(100)
    path = file_of(same, tmp_path / 'same.pth')
    model = distiller(
        teachers=dict(t=teacher(checkpoint=path)), heads={name: HEADS[name]}
    )
    model.student.load_state_dict(same.state_dict())
    model.eval()

    def terms() -> Tensor:
        return _terms(losses(model, batch(clips=3)))

    assert terms().abs() < 2e-5
    # and something where they differ
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert terms() > 1e-4


def _terms(entries: dict[str, Tensor]) -> Tensor:
    """The sum of the distillation losses."""
    entries = {key: value for key, value in entries.items() if key != 'loss_cls'}
    return sum(value for key, value in entries.items() if key.startswith('loss_'))


# Several teachers


@pytest.mark.parametrize('make', [KDHead, ZScoreKDHead, DKDHead, DISTHead])
def test_terms_are_averaged_over_the_teachers(make: Any) -> None:
    student, teachers = Outputs(logits(seed=9)), outputs(1, 2, 3)
    together = make()(student, teachers, targets())
    apart = [make()(student, {t: o}, targets()) for t, o in teachers.items()]
    for term, value in together.items():
        mean = torch.stack([each[term] for each in apart]).mean()
        torch.testing.assert_close(value, mean)


def test_a_feature_head_averages_over_the_teachers() -> None:
    head = FitNetsHead(tap='a', teacher_tap=dict(x='b', y='c'))
    shapes = dict(a=(2, 4, 6, 6), b=(3, 4, 3, 3), c=(5, 2, 6, 6))
    cards = {
        name: ModelCard(name, 4, False, {tap: shapes[tap]})
        for name, tap in (('student', 'a'), ('x', 'b'), ('y', 'c'))
    }
    head.attach(cards.pop('student'), cards)
    features = {tap: torch.randn(2, *shape) for tap, shape in shapes.items()}
    student = Outputs(logits(2), dict(a=features['a']))
    teachers = {
        'x': Outputs(logits(2), dict(b=features['b'])),
        'y': Outputs(logits(2), dict(c=features['c'])),
    }
    both = head(student, teachers, targets())['']
    one = [head(student, {k: v}, targets())[''] for k, v in teachers.items()]
    torch.testing.assert_close(both, (one[0] + one[1]) / 2)
    pooled = torch.nn.functional.adaptive_avg_pool3d(features['a'], (4, 3, 3))
    expected = (head.connectors['x'](pooled) - features['b']).square().mean()
    torch.testing.assert_close(one[0], expected)


def test_a_temperature_reaches_the_loss() -> None:
    student, teachers = Outputs(logits(seed=9)), outputs(1)
    got = KDHead(temperature=2.5)(student, teachers, targets())['']
    expected = kd_loss(student.logits, teachers['t1'].logits, 2.5).mean()
    torch.testing.assert_close(got, expected)


def test_an_identity_connector_refuses_other_channels() -> None:
    heads = dict(h=dict(HEADS['hint'], tap='backbone.layer4'))
    with pytest.raises(ValueError, match=r'has 512, the teacher 2048.*ConvConn'):
        distiller(teachers=dict(t=teacher(tiny_tsn(50))), heads=heads)
    assert IdentityConnector(3, 3)(torch.ones(1)) == 1


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match='loss_weight must be 0 or more, got -1'):
        KDHead(loss_weight=-1)


# Gradients


@pytest.mark.parametrize('name', HEADS)
def test_a_step_along_the_gradient_lowers_the_term(name: str) -> None:
    model = distiller(teachers=dict(t=teacher(tiny_tsn())), heads={name: HEADS[name]})
    model.eval()

    def term() -> Tensor:
        return _terms(losses(model, batch(clips=3)))

    before = term()
    params = [p for p in model.student.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(before, params, allow_unused=True)
    norm = sum(g.square().sum() for g in gradients if g is not None)
    assert norm > 0
    with torch.no_grad():
        for p, g in zip(params, gradients):
            if g is not None:
                p -= 1e-2 * before.clamp_max(1.0) / norm * g
    assert term() < before


def test_a_new_head_needs_its_forward_alone() -> None:
    @MODELS.register_module(force=True)
    class ConfidenceHead(DistillationHead):
        diagnostics = ('seen',)

        def forward(self, student, teachers, targets):
            return dict(norm=student.logits.square().mean(), seen=student.logits.mean())

    heads = dict(mine=dict(type='mmvkd.ConfidenceHead', loss_weight=0.5))
    values = step(distiller(heads=heads), batch())
    assert 'loss_mine_norm' in values and 'mine_seen' in values
    total = values['loss_cls'] + values['loss_mine_norm']
    torch.testing.assert_close(values['loss'], total)


@pytest.mark.parametrize(
    ('settings', 'match'),
    [
        (dict(type='mmvkd.KDHead', temperature=0), 'temperature must be above 0'),
        (dict(type='mmvkd.DISTHead', temperature=-1), 'temperature must be above 0'),
        (dict(type='mmvkd.DISTHead', inter_weight=-1), 'inter_weight must be 0 or'),
        (dict(type='mmvkd.DKDHead', temperature=0), 'temperature must be above 0'),
        (
            dict(type='mmvkd.SpectrumHead', tap='backbone', static_weight=3),
            'static_weight is a share between 0 and 1',
        ),
        (dict(type='mmvkd.DKDHead', beta=-1), 'beta must be 0 or more'),
        (dict(type='mmvkd.SubstageHead', grid=0), 'grid must be 1 or more'),
        (dict(type='mmvkd.SubstageHead', temperature=0), 'temperature must be above'),
        (dict(type='mmvkd.SubstageHead', momentum=1.5), 'momentum is a share'),
        (dict(type='mmvkd.SubstageHead', ce_weight=-1), 'ce_weight must be 0 or more'),
        (dict(type='mmvkd.LogitsGraphHead', metric='l2'), "metric 'l2' is unknown"),
        (dict(type='mmvkd.LogitsGraphHead', epsilon=0), 'epsilon must be above 0'),
        (dict(type='mmvkd.LogitsGraphHead', max_iter=0), 'max_iter must be 1 or more'),
        (dict(type='mmvkd.LogitsGraphHead', self_loop=2), 'self_loop is a share'),
        (dict(type='mmvkd.FixedBalancer', cls_weight=-1), 'cls_weight must be 0 or'),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_its_part_is_built(
    settings: dict, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        MODELS.build(settings)


@pytest.mark.parametrize(
    ('kind', 'dead'),
    [('KD', ''), ('ZScoreKD', 'all of it'), ('DIST', 'inter'), ('DKD', 'beta')],
)
def test_what_teaches_nothing_with_two_classes_is_told(
    monkeypatch: pytest.MonkeyPatch, kind: str, dead: str
) -> None:
    told: list[str] = []
    where = 'mmvkd.models.heads.base.print_log'
    monkeypatch.setattr(where, lambda text, **_: told.append(text))
    head = MODELS.build(dict(type=f'mmvkd.{kind}Head'))
    three = ModelCard('student', 3)
    head.attach(three, dict(t=three))
    assert not told
    two = ModelCard('student', 2)
    head.attach(two, dict(t=two))
    assert [dead in line for line in told] == ([True] if dead else [])


def test_with_two_classes_these_parts_have_no_gradient() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(6, 2)
    targets = Targets(torch.tensor([0, 1, 1, 0, 1, 0]))

    def gradient(term: str, **settings: Any) -> Tensor:
        student = torch.randn(6, 2, requires_grad=True)
        head = MODELS.build(settings)
        head.compare(student, teacher, targets)[term].backward()
        return student.grad.norm()

    # of standardized values, what the small number in the denominator leaves
    assert gradient('', type='mmvkd.ZScoreKDHead') < 0.01
    assert gradient('inter', type='mmvkd.DISTHead') < 0.01
    assert gradient('', type='mmvkd.DKDHead', alpha=0.0) == 0
    assert gradient('intra', type='mmvkd.DISTHead') > 0.1
    assert gradient('', type='mmvkd.KDHead') > 0.1
