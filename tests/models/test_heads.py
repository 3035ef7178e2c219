"""Heads turn outputs into terms that vanish where student and teacher agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest
import torch
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
    LogitsGraphHead,
    ZScoreKDHead,
)
from mmvkd.models.losses import binary_transport, kd_loss
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
    'hint_normalized': dict(
        type='mmvkd.FitNetsHead',
        tap='backbone.layer1',
        normalize='standardize',
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
}


def logits(clips: int = 3, classes: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(clips, classes, generator=generator)


def outputs(*seeds: int) -> dict[str, Outputs]:
    return {f't{seed}': Outputs(logits(seed=seed)) for seed in seeds}


def targets(labels: Optional[list[int]] = None) -> Targets:
    if labels is None:
        labels = [0, 1, 2]
    return Targets(torch.tensor(labels), complete=min(labels) >= 0)


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
    own = ('loss_cls', 'top1_acc', 'top5_acc', *_diagnostics(name))

    def terms() -> Tensor:
        entries = losses(model, batch(clips=3))
        return sum(value for key, value in entries.items() if key not in own)

    assert terms().abs() < 2e-5
    # and something where they differ
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert terms() > 1e-3


def _diagnostics(name: str) -> list[str]:
    return [f'{name}_{term}' for term in LogitsGraphHead.diagnostics]


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
    with pytest.raises(ValueError, match='must not be negative, got -1'):
        KDHead(loss_weight=-1)


# The logits graph


@pytest.mark.parametrize('k', [1, 2, 3, 4])
def test_uniform_edges_have_a_self_loop_and_rows_of_sum_one(k: int) -> None:
    head = LogitsGraphHead(cost='binary')
    among, to_student = head._edges(torch.zeros(3, k, 4), targets())
    assert among.shape == (3, k, k)
    diagonal = among.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal, torch.full((3, k), 0.5 + 0.5 / k))
    torch.testing.assert_close(among.sum(2), torch.ones(3, k))
    torch.testing.assert_close(to_student, torch.full((3, k), 1 / k))


@pytest.mark.parametrize('self_loop', [0.4, 0.7, 1.0])
def test_a_self_loop_said_in_the_config_is_the_diagonal(self_loop: float) -> None:
    head = LogitsGraphHead(cost='binary', self_loop=self_loop)
    among, _ = head._edges(torch.zeros(2, 3, 4), targets([0, 1]))
    expected = torch.full((2, 3), self_loop)
    torch.testing.assert_close(among.diagonal(dim1=1, dim2=2), expected)
    torch.testing.assert_close(among.sum(2), torch.ones(2, 3))


def test_confidence_favors_the_teacher_that_is_right() -> None:
    head = LogitsGraphHead(cost='binary', edges='confidence')
    right, wrong = torch.zeros(1, 4), torch.zeros(1, 4)
    right[0, 2] = wrong[0, 3] = 5.0
    both = torch.stack([right, wrong], dim=1)
    among, to_student = head._edges(both, targets([2]))
    assert to_student[0, 0] > 0.98
    torch.testing.assert_close(to_student.sum(1), torch.ones(1))
    torch.testing.assert_close(among.sum(2), torch.ones(1, 2))
    assert among[0, 1, 0] > 0.45 and among[0, 0, 1] < 0.02
    # softmax of minus the cross-entropy: the normalized probability of the label
    p = both.softmax(-1)[0, :, 2]
    torch.testing.assert_close(to_student[0], p / p.sum())


def test_confidence_without_a_label_favors_the_teacher_that_is_certain() -> None:
    head = LogitsGraphHead(cost='binary', edges='confidence')
    certain, unsure = torch.zeros(1, 4), torch.zeros(1, 4)
    certain[0, 3] = 8.0
    both = torch.stack([unsure, certain], dim=1)
    for unlabeled in (targets([-1]), Targets(None)):
        _, to_student = head._edges(both, unlabeled)
        assert to_student[0, 1] > 0.75
    # the label decides where there is one
    assert head._edges(both, targets([0]))[1][0, 0] > 0.9


def test_confidence_is_each_clips_own() -> None:
    head = LogitsGraphHead(cost='binary', edges='confidence')
    many = torch.stack([logits(3, seed=1), logits(3, seed=2)], dim=1)
    mixed = head._edges(many, targets([1, -1, 3]))[1]
    for n, label in ((0, 1), (1, -1), (2, 3)):
        one = head._edges(many[n : n + 1], targets([label]))[1]
        torch.testing.assert_close(mixed[n : n + 1], one)


def test_the_binary_graph_is_the_formula() -> None:
    student, teachers = Outputs(logits(seed=9)), outputs(1, 2)
    head = LogitsGraphHead(cost='binary', temperature=2.0)
    q = (student.logits / 2).softmax(-1)
    p = [(o.logits / 2).softmax(-1) for o in teachers.values()]
    vertices = [0.75 * p[0] + 0.25 * p[1], 0.25 * p[0] + 0.75 * p[1]]
    expected = sum(binary_transport(v, q).mean() / 2 for v in vertices)
    torch.testing.assert_close(head(student, teachers, targets())[''], expected)


def test_one_teacher_is_a_graph() -> None:
    for cost in ('binary', 'prototype'):
        graph = dict(type='mmvkd.LogitsGraphHead', cost=cost)
        model = distiller(heads=dict(g=graph))
        assert torch.isfinite(step(model, batch())['loss_g'])
    head, student = LogitsGraphHead(cost='binary'), Outputs(logits(seed=9))
    got = head(student, outputs(1), targets())['']
    p, q = (logits(seed=s).div(4).softmax(-1) for s in (1, 9))
    torch.testing.assert_close(got, binary_transport(p, q).mean())


def test_prototypes_come_from_the_teachers_loaded_weights(tmp_path: Path) -> None:
    trained = plain(tiny_tsm(), seed=6)
    with torch.no_grad():
        rows = trained.cls_head.fc_cls.weight
        rows.zero_()
        rows[0, 0] = rows[1, 0] = rows[2, 1] = rows[3, 2] = 1.0
        rows[1, 3] = 0.1
    path = file_of(trained, tmp_path / 't.pth')
    model = distiller(
        teachers=dict(t=teacher(checkpoint=path)),
        heads=dict(g=dict(type='mmvkd.LogitsGraphHead')),
    )
    cost = model.heads['g'].cost_matrix
    # classes 0 and 1 look alike
    assert cost[0, 1] < 0.1 < cost[0, 2]
    assert cost.max() == 1
    assert not [key for key in model.state_dict() if 'cost' in key]


def test_a_prototype_graph_needs_a_linear_classifier() -> None:
    model = tiny_tsm()
    graph = dict(type='mmvkd.LogitsGraphHead')
    made = distiller(teachers=dict(t=teacher(model)), heads={})
    made.teachers['t'].model.cls_head.fc_cls = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"has no linear classifier.*cost='binary'"):
        MODELS.build(graph).prepare(made.teachers)


def test_diagnostics_are_logged_and_not_summed() -> None:
    graph = dict(type='mmvkd.LogitsGraphHead', loss_weight=2.0)
    values = step(distiller(heads=dict(g=graph)), batch())
    for name in LogitsGraphHead.diagnostics:
        assert torch.isfinite(values[f'g_{name}'])
        assert not values[f'g_{name}'].requires_grad
    total = values['loss_cls'] + values['loss_g']
    torch.testing.assert_close(values['loss'], total)


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(edges='none'), "'none' is unknown; known: uniform, confidence"),
        (dict(cost='other'), "'other' is unknown; known: prototype, binary"),
        (dict(self_loop=1.5), r'share in \[0, 1\], got 1.5'),
    ],
)
def test_a_wrong_graph_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LogitsGraphHead(**wrong)


# Gradients


@pytest.mark.parametrize('name', HEADS)
def test_a_step_along_the_gradient_lowers_the_term(name: str) -> None:
    model = distiller(teachers=dict(t=teacher(tiny_tsn())), heads={name: HEADS[name]})
    model.eval()
    own = ('loss_cls', 'top1_acc', 'top5_acc', *_diagnostics(name))

    def term() -> Tensor:
        entries = losses(model, batch(clips=3))
        return sum(value for key, value in entries.items() if key not in own)

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
