"""The logits graph: what is matched, logged and taken."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from logit_toys import logits, outputs, targets
from logits_graph_toys import graph
from recognizer_toys import distiller, file_of, plain, step, teacher
from toys import batch, tiny_tsm

from mmvkd.evaluation.peaks import largest_resident
from mmvkd.models import LogitsGraphHead
from mmvkd.models.losses import (
    binary_transport,
    sinkhorn,
    sinkhorn_barycenter,
)
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.registry import MODELS

# What is matched


def test_the_binary_graph_is_the_formula() -> None:
    student, teachers = Outputs(logits(seed=9)), outputs(1, 2)
    head = LogitsGraphHead(cost='binary', temperature=2.0)
    q = (student.logits / 2).softmax(-1)
    p = [(o.logits / 2).softmax(-1) for o in teachers.values()]
    vertices = [0.75 * p[0] + 0.25 * p[1], 0.25 * p[0] + 0.75 * p[1]]
    # times the temperature
    expected = 2 * sum(binary_transport(v, q).mean() / 2 for v in vertices)
    torch.testing.assert_close(head(student, teachers, targets())[''], expected)


def test_one_teacher_is_a_graph() -> None:
    for cost in ('binary', 'prototype'):
        graph = dict(type='mmvkd.LogitsGraphHead', cost=cost)
        model = distiller(heads=dict(g=graph))
        assert torch.isfinite(step(model, batch())['loss_g'])
    head, student = LogitsGraphHead(cost='binary'), Outputs(logits(seed=9))
    got = head(student, outputs(1), targets())['']
    p, q = (logits(seed=s).div(4).softmax(-1) for s in (1, 9))
    torch.testing.assert_close(got, 4 * binary_transport(p, q).mean())


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


def test_the_barycenter_graph_is_the_formula() -> None:
    head = graph(2, barycenter=True, temperature=2.0, tol=1e-6)
    student, teachers = Outputs(logits(seed=9)), outputs(1, 2)
    p = [(o.logits / 2).softmax(-1) for o in teachers.values()]
    vertices = torch.stack(
        [0.75 * p[0] + 0.25 * p[1], 0.25 * p[0] + 0.75 * p[1]], dim=1
    )
    half, cost = torch.full((3, 2), 0.5), head.cost_matrix
    center = sinkhorn_barycenter(vertices, half, cost, tol=1e-6).rows
    q = (student.logits / 2).softmax(-1)
    # times the squared temperature
    expected = 4 * sinkhorn(center, q, cost, tol=1e-6).divergence.mean()
    torch.testing.assert_close(head(student, teachers, targets())[''], expected)


@pytest.mark.parametrize('edges', ['uniform', 'confidence', 'learned'])
@pytest.mark.parametrize('clips', [1, 5])
def test_the_barycenter_of_one_teacher_is_that_teacher(clips: int, edges: str) -> None:
    head = graph(1, 12, edges=edges, barycenter=True)
    plainly = graph(1, 12, edges=edges)
    of_teacher = logits(clips, 12, seed=1)
    to, teachers = Targets(torch.zeros(clips).long()), {'t1': Outputs(of_teacher)}
    other = Outputs(logits(clips, 12, seed=2))
    torch.testing.assert_close(
        head(other, teachers, to)[''], plainly(other, teachers, to)[''], rtol=0, atol=0
    )
    same = of_teacher.clone().requires_grad_()
    term = head(Outputs(same), teachers, to)['']
    term.backward()
    assert term == 0
    assert same.grad.count_nonzero() == 0


def test_a_barycenter_needs_a_cost_that_is_not_in_closed_form() -> None:
    with pytest.raises(ValueError, match="a barycenter needs cost='prototype'"):
        LogitsGraphHead(cost='binary', barycenter=True)


# What is logged


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
        (dict(edges='none'), "'none' is unknown; known: uniform, confidence, learned"),
        (dict(cost='other'), "'other' is unknown; known: prototype, binary"),
        (dict(temperature=0), 'temperature must be above 0'),
        (dict(self_loop=1.5), 'share between 0 and 1, got 1.5'),
        (dict(self_loop=0.3), 'self_loop=0.3 is less than an equal share of 2'),
    ],
)
def test_a_wrong_graph_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        graph(**wrong)


@pytest.mark.parametrize('edges', ['uniform', 'confidence', 'learned'])
def test_the_trust_in_each_teacher_is_logged_and_not_summed(edges: str) -> None:
    settings = dict(type='mmvkd.LogitsGraphHead', edges=edges)
    model = distiller(teachers=dict(a=teacher(), b=teacher()), heads=dict(g=settings))
    values = step(model, batch())
    trust = [values['g_trust_a'], values['g_trust_b']]
    assert not any(value.requires_grad for value in trust)
    torch.testing.assert_close(sum(trust), torch.tensor(1.0))
    names = ['loss_cls', 'loss_g'] + ['loss_g_edges'] * (edges == 'learned')
    torch.testing.assert_close(values['loss'], sum(values[name] for name in names))


# What it takes


def most_memory(waste: bool) -> int:
    """Bytes that steps of the largest graph add to a process; runs in a fresh one."""
    torch.set_num_threads(1)
    clips, classes, teachers = 64, 700, 4
    heads = [
        graph(teachers, classes, edges=edges, barycenter=barycenter)
        for edges in ('uniform', 'learned')
        for barycenter in (False, True)
    ]
    few = {f't{k}': Outputs(logits(2, classes, k)) for k in (1, 2, 3, 4)}
    many = {f't{k}': Outputs(logits(clips, classes, k)) for k in (1, 2, 3, 4)}
    labels = torch.arange(clips)
    # what is loaded with the first step is not the graph's
    sum(h(few['t1'], few, Targets(labels[:2]))[''] for h in heads).item()
    before = largest_resident()
    for head in heads:
        student = logits(clips, classes, 9).requires_grad_()
        terms = head(Outputs(student), many, Targets(labels))
        (terms[''] + terms.get('edges', 0)).backward()
    if waste:
        torch.ones(clips * teachers, classes, classes).sum()
    return largest_resident() - before


def test_700_classes_of_64_clips_and_4_teachers_take_less_than_300_megabytes() -> None:
    context = multiprocessing.get_context('spawn')
    taken = []
    for waste in (False, True):
        with ProcessPoolExecutor(1, context) as pool:
            taken.append(pool.submit(most_memory, waste).result() / 2**20)
    # one row of costs for each clip and teacher is too much, and is seen
    assert taken[0] < 300 < taken[1]
