"""The logits graph: its edges, uniform, confident and learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from logit_toys import logits, outputs, targets
from logits_graph_toys import edges, graph
from recognizer_toys import distiller
from torch import Tensor

from mmvkd.models import LogitsGraphHead
from mmvkd.models.outputs import Outputs, Targets


@pytest.mark.parametrize('k', [1, 2, 3, 4])
def test_uniform_edges_have_a_self_loop_and_rows_of_sum_one(k: int) -> None:
    head = LogitsGraphHead(cost='binary')
    among, to_student = edges(head, torch.zeros(3, k, 4), targets())
    assert among.shape == (3, k, k)
    diagonal = among.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(diagonal, torch.full((3, k), 0.5 + 0.5 / k))
    torch.testing.assert_close(among.sum(2), torch.ones(3, k))
    torch.testing.assert_close(to_student, torch.full((3, k), 1 / k))


@pytest.mark.parametrize('self_loop', [0.4, 0.7, 1.0])
def test_a_self_loop_said_in_the_config_is_the_diagonal(self_loop: float) -> None:
    head = LogitsGraphHead(cost='binary', self_loop=self_loop)
    among, _ = edges(head, torch.zeros(2, 3, 4), targets([0, 1]))
    expected = torch.full((2, 3), self_loop)
    torch.testing.assert_close(among.diagonal(dim1=1, dim2=2), expected)
    torch.testing.assert_close(among.sum(2), torch.ones(2, 3))


def test_confidence_favors_the_teacher_that_is_right() -> None:
    head = LogitsGraphHead(cost='binary', edges='confidence')
    right, wrong = torch.zeros(1, 4), torch.zeros(1, 4)
    right[0, 2] = wrong[0, 3] = 5.0
    both = torch.stack([right, wrong], dim=1)
    among, to_student = edges(head, both, targets([2]))
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
        _, to_student = edges(head, both, unlabeled)
        assert to_student[0, 1] > 0.75
    # the label decides where there is one
    assert edges(head, both, targets([0]))[1][0, 0] > 0.9


def test_confidence_is_each_clips_own() -> None:
    head = LogitsGraphHead(cost='binary', edges='confidence')
    many = torch.stack([logits(3, seed=1), logits(3, seed=2)], dim=1)
    mixed = edges(head, many, targets([1, -1, 3]))[1]
    for n, label in ((0, 1), (1, -1), (2, 3)):
        one = edges(head, many[n : n + 1], targets([label]))[1]
        torch.testing.assert_close(mixed[n : n + 1], one)


@pytest.mark.parametrize('kind', ['confidence', 'learned'])
def test_the_trust_by_class_is_a_running_mean_over_its_clips(kind: str) -> None:
    head = graph(2, edges=kind)
    torch.testing.assert_close(head.trust_by_class, torch.full((2, 4), 0.5))
    if kind == 'learned':
        with torch.no_grad():
            head.edge_network.weight.normal_(generator=torch.Generator().manual_seed(0))
    labels = targets([2, -1, 2])
    teachers = outputs(1, 2)
    both = torch.stack([o.logits for o in teachers.values()], 1)
    trust = edges(head, both, labels)[1].detach()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        head(Outputs(logits(seed=9)), teachers, labels)
    expected = torch.full((2, 4), 0.5)
    expected[:, 2] = 0.9 * 0.5 + 0.1 * (trust[0] + trust[2]) / 2
    torch.testing.assert_close(head.trust_by_class, expected)
    # what is not training leaves it
    head.eval()(Outputs(logits(seed=9)), teachers, labels)
    torch.testing.assert_close(head.trust_by_class, expected)


def test_an_overflow_of_one_step_leaves_the_trust_as_it_was() -> None:
    head, teachers = graph(2, edges='confidence'), outputs(3, 2)
    head(Outputs(logits(3, seed=9)), teachers, targets([0, 1, 2]))
    before = head.trust_by_class.clone()
    next(iter(teachers.values())).logits[0, 0] = torch.inf
    head(Outputs(logits(3, seed=9)), teachers, targets([0, 1, 2]))
    assert torch.equal(head.trust_by_class, before)


def test_learned_edges_are_uniform_at_first() -> None:
    head = graph(3, edges='learned')
    among, to_student = edges(head, torch.randn(2, 3, 4), targets([0, 1]))
    torch.testing.assert_close(to_student, torch.full((2, 3), 1 / 3))
    torch.testing.assert_close(among.sum(2), torch.ones(2, 3))


def test_learned_edges_minimize_the_cross_entropy_of_the_mixture() -> None:
    head = graph(3, edges='learned')
    with torch.no_grad():
        head.edge_network.bias.copy_(torch.tensor([0.1, 0.0, -0.1]))
        head.edge_network.weight.normal_(std=0.1)
    teachers = outputs(1, 2, 3)
    terms = head(Outputs(logits(seed=9)), teachers, targets([2, 0, 3]))
    both = torch.stack([o.logits for o in teachers.values()], 1)
    trust = edges(head, both, targets())[1]
    mixture = (trust[..., None] * (both / 4).softmax(-1)).sum(1)
    expected = torch.nn.functional.nll_loss(mixture.log(), torch.tensor([2, 0, 3]))
    torch.testing.assert_close(terms['edges'], expected)


def test_learned_edges_are_constants_in_the_match() -> None:
    head = graph(2, edges='learned')
    student = Outputs(logits(seed=9).requires_grad_())
    terms = head(student, outputs(1, 2), targets())
    own = list(head.edge_network.parameters())
    assert torch.autograd.grad(
        terms[''], own, retain_graph=True, allow_unused=True
    ) == (
        None,
        None,
    )
    of_edges = torch.autograd.grad(terms['edges'], own, retain_graph=True)
    assert all(gradient.abs().max() > 0 for gradient in of_edges)
    assert torch.autograd.grad(terms['edges'], student.logits, allow_unused=True) == (
        None,
    )


def test_trust_depends_on_what_a_teacher_says() -> None:
    head = graph(2, edges='learned')
    with torch.no_grad():
        head.edge_network.weight[0, 1] = 0.3
    says_one, says_two = torch.zeros(2, 4), torch.zeros(2, 4)
    says_one[:, 1] = says_two[:, 2] = 9.0
    both = torch.stack([says_one, says_two])
    trust = edges(head, both, targets([0, 0]))[1]
    assert trust[0, 0] > 0.9
    torch.testing.assert_close(trust[1], torch.full((2,), 0.5), atol=1e-2, rtol=0)


def teachers_of_a_batch(
    labels: Tensor, classes: int, generator: torch.Generator
) -> dict[str, Outputs]:
    """Logits of three teachers that are right more often than not, and of a fourth
    whose weights are random: it says nearly the same of every clip."""
    found = {}
    for k, right in enumerate((0.9, 0.7, 0.5), start=1):
        said = torch.randint(classes, labels.shape, generator=generator)
        hit = torch.rand(labels.shape, generator=generator) < right
        said = torch.where(hit, labels, said)
        noise = torch.randn(len(labels), classes, generator=generator)
        sure = 8 * torch.nn.functional.one_hot(said, classes)
        found[f't{k}'] = Outputs(noise + sure)
    noise = 0.1 * torch.randn(len(labels), classes, generator=generator)
    found['t4'] = Outputs(torch.linspace(-1, 1, classes) + noise)
    return found


@pytest.mark.parametrize(
    'optimizer',
    [
        pytest.param(
            lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-4),
            id='sgd',
        ),
        pytest.param(lambda p: torch.optim.AdamW(p, lr=1e-3), id='adamw'),
    ],
)
@pytest.mark.parametrize('classes', [14, 400])
def test_a_random_teacher_is_dropped_in_the_first_two_epochs(
    optimizer: Any, classes: int
) -> None:
    head = graph(4, classes, edges='learned', cost='binary')
    optim = optimizer(head.parameters())
    generator = torch.Generator().manual_seed(0)
    trust = []
    # two epochs of 840 clips in batches of 8
    for _ in range(210):
        labels = torch.randint(classes, (8,), generator=generator)
        # of a student that has not learned anything
        student = Outputs(0.1 * torch.randn(8, classes, generator=generator))
        teachers = teachers_of_a_batch(labels, classes, generator)
        terms = head(student, teachers, Targets(labels))
        optim.zero_grad()
        (terms[''] + terms['edges']).backward()
        optim.step()
        trust.append([float(terms[f'trust_t{k}']) for k in (1, 2, 3, 4)])
    end = torch.tensor(trust[-20:]).mean(0)
    assert int(end.argmin()) == 3
    assert end[3] < 0.05
    assert int(end.argmax()) == 0


def test_clips_without_a_label_teach_no_edges_and_are_matched() -> None:
    head = graph(2, edges='learned')
    student, teachers = Outputs(logits(seed=9)), outputs(1, 2)
    some = head(student, teachers, targets([1, -1, -1]))
    first = {t: Outputs(o.logits[:1]) for t, o in teachers.items()}
    one = head(Outputs(student.logits[:1]), first, targets([1]))
    torch.testing.assert_close(some['edges'], one['edges'])
    none = head(student, teachers, targets([-1, -1, -1]))
    torch.testing.assert_close(none[''], some[''])
    assert none['edges'] == 0
    none['edges'].backward()
    for parameter in head.edge_network.parameters():
        assert parameter.grad.count_nonzero() == 0


def test_learned_edges_refuse_blended_labels() -> None:
    head = graph(2, edges='learned')
    with pytest.raises(ValueError, match='one label per clip; turn blending off'):
        head(Outputs(logits(seed=9)), outputs(1, 2), Targets(None))


@pytest.mark.parametrize('scale', [0.0, 1.0, 1e4])
def test_learned_edges_have_finite_gradients_also_in_half_precision(
    scale: float,
) -> None:
    head = graph(2, edges='learned')
    teachers = {
        t: Outputs((scale * o.logits).bfloat16()) for t, o in outputs(1, 2).items()
    }
    student = logits(seed=9).bfloat16().requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        terms = head(Outputs(student), teachers, targets())
    (terms[''] + terms['edges']).backward()
    assert terms[''].dtype == terms['edges'].dtype == torch.float32
    for found in (student, *head.edge_network.parameters()):
        assert found.grad.isfinite().all()


def test_a_student_like_its_teacher_is_at_rest_in_half_precision_too() -> None:
    head = graph(1, 400, cost='binary', temperature=1.0)
    teacher = 3 * logits(classes=400)
    student = teacher.clone().requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        terms = head(Outputs(student), {'t1': Outputs(teacher)}, targets())
    terms[''].backward()
    assert terms[''].item() < 1e-8
    assert student.grad.abs().max() < 1e-6


def test_what_edges_learned_is_saved_with_the_run_and_not_with_the_student() -> None:
    learned = dict(type='mmvkd.LogitsGraphHead', edges='learned')
    model = distiller(heads=dict(g=learned))
    keys = [key for key in model.state_dict() if 'edge' in key]
    assert keys == [
        f'distill.heads.g.edge_network.{name}' for name in ('bias', 'weight')
    ]
