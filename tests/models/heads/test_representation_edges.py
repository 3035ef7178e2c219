"""The representation graph's edges are uniform, or learned from labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recognizer_toys import distiller, step, teacher
from representation_toys import SHAPES, graph, outputs, student, targets
from torch import nn
from toys import batch

from mmvkd.models import RepresentationGraphHead
from mmvkd.models.heads import representation_graph
from mmvkd.models.outputs import ModelCard, Outputs, Targets


def test_learned_edges_are_products_of_the_trust_in_two_teachers() -> None:
    head, teachers = graph(edges='learned'), outputs()
    logits = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    teachers = {
        t: Outputs(logits[:, k], o.features)
        for k, (t, o) in enumerate(teachers.items())
    }
    with torch.no_grad():
        head.edge_network.bias.copy_(torch.tensor([0.1, 0.0, -0.1]))
        head.edge_network.weight.normal_(std=0.1)
    terms = head(student(), teachers, targets([0, 1, -1, 0]))
    score = head.edge_network.bias + (
        head.edge_network.weight * logits.softmax(-1)
    ).sum(-1)
    trust = (10 * score).softmax(-1)
    mixture = (trust[..., None] * (logits / 4).softmax(-1)).sum(1)[[0, 1, 3]]
    expected = nn.functional.nll_loss(mixture.log(), torch.tensor([0, 1, 0]))
    torch.testing.assert_close(terms['edges'], expected)
    a, b, c = trust.mean(0)
    pairs = torch.stack([a * b, a * c, b * c])
    logged = [terms[f'edge_{pair}'] for pair in ('a+b', 'a+c', 'b+c')]
    torch.testing.assert_close(torch.stack(logged), pairs / pairs.sum())


def test_learned_edges_are_the_same_on_all_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = graph(edges='learned')
    generator = torch.Generator().manual_seed(0)
    trust = torch.randn(4, 3, generator=generator).log_softmax(-1)
    monkeypatch.setattr(representation_graph, 'gather', lambda x: trust)
    of_all = head._edges(trust)
    assert torch.equal(head._edges(trust[:2]), of_all)
    monkeypatch.undo()
    assert not torch.allclose(head._edges(trust[:2]), of_all)


def test_edges_are_finite_where_one_teacher_has_all_the_trust() -> None:
    head = graph(edges='learned')
    with torch.no_grad():
        head.edge_network.bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    terms = head(student(), outputs(), targets())
    logged = [float(terms[f'edge_{pair}']) for pair in ('a+b', 'a+c', 'b+c')]
    assert logged == pytest.approx([0.5, 0.5, 0])


def test_learned_edges_are_constants_in_the_match() -> None:
    head = graph(edges='learned')
    terms = head(student(), outputs(), targets())
    own = list(head.edge_network.parameters())
    gradients = torch.autograd.grad(
        terms[''], own, retain_graph=True, allow_unused=True
    )
    assert gradients == (None,) * 2
    assert all(g is not None for g in torch.autograd.grad(terms['edges'], own))


@pytest.mark.parametrize(
    ('random', 'sgd'),
    # with SGD at this rate, edges among equally good teachers drift to one
    [(True, False), (True, True), (False, False)],
)
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_learned_edges_leave_pairs_with_a_random_teacher(
    random: bool, sgd: bool, seed: int
) -> None:
    head = graph(edges='learned')
    own = head.edge_network.parameters()
    if sgd:
        optim: Any = torch.optim.SGD(own, lr=0.02, momentum=0.9)
    else:
        optim = torch.optim.AdamW(own, lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    # two epochs of 840 clips in batches of 8
    for _ in range(210):
        labels = torch.randint(3, (8,), generator=generator)
        teachers = outputs(clips=8)
        for name, output in teachers.items():
            output.logits.normal_(generator=generator)
            if name != 'c' or not random:
                output.logits[torch.arange(8), labels] += 4
        terms = head(student(8), teachers, Targets(labels))
        optim.zero_grad()
        terms['edges'].backward()
        optim.step()
    trust = {pair: float(terms[f'edge_{pair}']) for pair in ('a+b', 'a+c', 'b+c')}
    if random:
        assert trust['a+b'] > 0.9, trust
    else:
        assert min(trust.values()) > 0.2, trust


def test_clips_without_a_label_teach_no_edges() -> None:
    head, teachers = graph(edges='learned'), outputs()
    none = head(student(), teachers, targets([-1, -1, -1, -1]))
    assert none['edges'] == 0
    none['edges'].backward()
    assert head.edge_network.weight.grad.count_nonzero() == 0
    assert head.edge_network.bias.grad.count_nonzero() == 0
    some = head(student(), teachers, targets([1, -1, -1, -1]))
    one = head(student(1), outputs_of_first(teachers), targets([1]))
    torch.testing.assert_close(some['edges'], one['edges'])


def outputs_of_first(teachers: dict[str, Outputs]) -> dict[str, Outputs]:
    return {
        t: Outputs(o.logits[:1], dict(x=o.features['x'][:1]))
        for t, o in teachers.items()
    }


@pytest.mark.parametrize('edges', ['uniform', 'learned'])
def test_blended_labels_are_for_uniform_edges(edges: str) -> None:
    head = graph(edges=edges)
    if edges == 'uniform':
        assert head(student(), outputs(), Targets(None))[''] > 0
        return
    with pytest.raises(ValueError, match='one label per clip; turn blending off'):
        head(student(), outputs(), Targets(None))


def test_edges_are_logged_and_not_summed() -> None:
    settings = dict(
        type='mmvkd.RepresentationGraphHead',
        tap='backbone.layer3',
        dim=32,
        edges='learned',
    )
    model = distiller(teachers=dict(a=teacher(), b=teacher()), heads=dict(g=settings))
    values = step(model, batch())
    assert values['g_edge_a+b'] == 1
    parts = ('loss_cls', 'loss_g', 'loss_g_edges')
    torch.testing.assert_close(values['loss'], sum(values[name] for name in parts))


@pytest.mark.parametrize(
    ('classes', 'multi_label', 'why'),
    [(3, True, "'student' is multi-label"), (5, False, "'a' has 3 classes, the stu")],
)
def test_learned_edges_need_classes_that_compare(
    classes: int, multi_label: bool, why: str
) -> None:
    teachers = dict(a=ModelCard('a', 3, False, dict(x=SHAPES['a'])))
    student = ModelCard('student', classes, multi_label, dict(x=(7, 2, 3, 3)))
    RepresentationGraphHead(tap='x').attach(student, teachers)
    head = RepresentationGraphHead(tap='x', edges='learned')
    with pytest.raises(ValueError, match=rf"{why}.*: set edges='uniform'"):
        head.attach(student, teachers)
