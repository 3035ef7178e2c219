"""The representation graph matches samples of what pairs of teachers see."""

from __future__ import annotations

import copy

import pytest
import torch
from recognizer_toys import (
    backward,
    distiller,
    losses,
    teacher,
    tiny_slowfast,
    tiny_tsn,
    without_gradient,
)
from representation_toys import (
    SHAPES,
    feature,
    graph,
    outputs,
    student,
    targets,
    vectors,
)
from torch import Tensor, nn
from toys import batch, tiny_tsm

from mmvkd.models import RepresentationGraphHead
from mmvkd.models.losses import (
    median_bandwidth,
    mmd,
    unit_length,
)
from mmvkd.models.outputs import ModelCard, Outputs

PLACES = dict(pool='frame', joint=True)


# The match


def test_the_term_is_the_mean_discrepancy_of_every_pair() -> None:
    head, teachers, own = graph(), outputs(), student()
    projected = head.projection(own.features['x'].mean((2, 3, 4))).unflatten(1, (3, 16))
    expected = [
        mmd(vectors(head, teachers, i, j), unit_length(projected[:, e]))
        for e, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)])
    ]
    terms = head(own, teachers, targets())
    torch.testing.assert_close(terms[''], sum(expected) / 3)
    assert terms[''] > 1e-3


def test_one_teacher_is_paired_with_itself_through_two_sketches() -> None:
    head, teachers = graph('a'), outputs('a')
    assert not torch.equal(head.place_0, head.place_1)
    own = head.projection(student().features['x'].mean((2, 3, 4)))
    expected = mmd(vectors(head, teachers, 0, 1), unit_length(own))
    terms = head(student(), teachers, targets())
    torch.testing.assert_close(terms[''], expected)
    assert head.diagnostics == ('edge_a+a',)
    assert terms['edge_a+a'] == 1


class Told(nn.Module):
    """Says what it was told, in place of a projection."""

    def __init__(self, what: Tensor) -> None:
        super().__init__()
        self.what = nn.Parameter(what)

    def forward(self, feature: Tensor) -> Tensor:
        return self.what.flatten(2)


@pytest.mark.parametrize('names', ['a', 'ab', 'abc'])
@pytest.mark.parametrize(
    'settings',
    [dict(min_vectors=0), dict(min_vectors=8), dict(pool='frame'), PLACES],
    ids=['clips', 'queue', 'frames', 'places'],
)
def test_a_student_that_sees_what_its_teachers_see_has_nothing_to_learn(
    names: str, settings: dict
) -> None:
    head = graph(names, **settings)
    for seed in (0, 5):  # in the second step, past clips take part
        teachers = outputs(names, seed=seed)
        head.projection = Told(3 * head._ensembled(teachers, 2))
        term = head(student(), teachers, targets())['']
        term.backward()
        assert term < 1e-6
        assert head.projection.what.grad.abs().max() < 1e-6
    head.projection = Told(torch.rand_like(head.projection.what))
    assert head(student(), teachers, targets())[''] > 1e-3


def test_by_place_each_frame_meets_its_own() -> None:
    head, teachers, own = graph(**PLACES), outputs(), student()
    h = {t: o.features['x'] for t, o in teachers.items()}
    terms, whole = [], []
    for e, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        rows = []
        for frame in (0, 1):
            one = {
                t: Outputs(o.logits, dict(x=h[t][:, :, frame : frame + 1]))
                for t, o in teachers.items()
            }
            seen = own.features['x'][:, :, frame].mean((2, 3))
            told = head.projection(seen).unflatten(1, (3, 16))[:, e]
            rows.append((vectors(head, one, i, j), unit_length(told)))
        x, y = (torch.stack(part, 1).flatten(0, 1) for part in zip(*rows))
        bandwidth = median_bandwidth(x, y)
        # of one row each, the discrepancy is what a pair of rows adds
        apart = [mmd(x[a : a + 1], y[a : a + 1], None, bandwidth) for a in range(8)]
        terms.append(torch.stack(apart).mean())
        whole.append(mmd(x, y))
    torch.testing.assert_close(head(own, teachers, targets())[''], sum(terms) / 3)
    frames = graph(pool='frame')
    torch.testing.assert_close(frames(own, teachers, targets())[''], sum(whole) / 3)


def test_a_student_that_takes_one_clip_for_another_is_told_by_place_alone() -> None:
    for settings, told in ((dict(pool='frame'), False), (PLACES, True)):
        head, teachers = graph(**settings), outputs()
        head.projection = Told(head._ensembled(teachers, 2)[[1, 2, 3, 0]])
        term = head(student(), teachers, targets())['']
        assert (term > 0.01) == told


def test_frames_are_as_many_as_the_fewest_of_student_and_teachers() -> None:
    head, teachers = graph('ab', **PLACES), outputs('ab')
    slow = Outputs(torch.zeros(4, 3), dict(x=feature((7, 1, 3, 3))))
    assert head._ensembled(teachers, 1).shape == (4, 1, 1, 16)
    once = {
        t: Outputs(o.logits, dict(x=o.features['x'].mean(2, keepdim=True)))
        for t, o in teachers.items()
    }
    torch.testing.assert_close(
        head(slow, teachers, targets())[''], head(slow, once, targets())['']
    )
    # four frames of the student beside two of the teachers
    long = Outputs(torch.zeros(4, 3), dict(x=feature((7, 4, 3, 3))))
    pairs = long.features['x'].unflatten(2, (2, 2)).mean(3)
    short = Outputs(torch.zeros(4, 3), dict(x=pairs))
    torch.testing.assert_close(
        head(long, teachers, targets())[''], head(short, teachers, targets())['']
    )


def test_steps_along_the_gradient_lower_the_term() -> None:
    head, teachers, own = graph(), outputs(), student()
    optim = torch.optim.SGD(head.parameters(), lr=0.5)
    values = []
    for _ in range(10):
        term = head(own, teachers, targets())['']
        optim.zero_grad()
        term.backward()
        optim.step()
        values.append(term.item())
    assert values[-1] < 0.8 * values[0]


def test_maps_of_other_sizes_are_averaged_to_the_smallest() -> None:
    head = graph('ab')
    large = outputs('ab')
    big = feature((4, 4, 6, 9), seed=7)
    small = torch.nn.functional.adaptive_avg_pool3d(big, (2, 3, 3))
    large['b'] = Outputs(torch.zeros(4, 3), dict(x=big))
    same = dict(large, b=Outputs(torch.zeros(4, 3), dict(x=small)))
    torch.testing.assert_close(
        head(student(), large, targets())[''], head(student(), same, targets())['']
    )


def test_teachers_of_other_architectures_and_a_kept_one_make_a_graph() -> None:
    settings = dict(
        type='mmvkd.RepresentationGraphHead',
        tap='backbone.layer4',
        teacher_tap=dict(
            tsm='backbone.layer4', tsn='backbone.layer3', sf='backbone.slow_path.layer4'
        ),
        dim=32,
    )
    teachers = dict(
        tsm=teacher(), tsn=teacher(tiny_tsn(50)), sf=teacher(tiny_slowfast())
    )
    model = distiller(tiny_tsm(frames=8), teachers, dict(g=settings))
    values = backward(model.train(), batch(clips=3, frames=8))
    assert torch.isfinite(values['loss_g'])
    names = [key for key in values if key.startswith('g_edge')]
    assert names == ['g_edge_tsm+tsn', 'g_edge_tsm+sf', 'g_edge_tsn+sf']
    assert without_gradient(model) == []


def test_features_averaged_over_space_make_a_graph() -> None:
    head, teachers = graph('ab'), outputs('ab')
    pooled = {
        t: Outputs(o.logits, dict(x=o.features['x'].mean((3, 4), keepdim=True)))
        for t, o in teachers.items()
    }
    one = head(student(), pooled, targets())['']
    mixed = head(student(), dict(teachers, a=pooled['a']), targets())['']
    assert one > 1e-3
    # what is stored for one teacher is all that its pairs can use of the other
    torch.testing.assert_close(mixed, one)


@pytest.mark.parametrize('scale', [0.0, 1e-3, 1.0, 1e3])
def test_half_precision_gives_finite_gradients(scale: float) -> None:
    head = graph(edges='learned')
    teachers = {
        t: Outputs(o.logits, dict(x=(scale * o.features['x']).bfloat16()))
        for t, o in outputs().items()
    }
    x = (scale * student().features['x']).bfloat16().requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        terms = head(Outputs(torch.zeros(4, 3), dict(x=x)), teachers, targets())
    (terms[''] + terms['edges']).backward()
    assert terms[''].dtype == terms['edges'].dtype == torch.float32
    assert x.grad.isfinite().all()
    for parameter in head.parameters():
        assert parameter.grad.isfinite().all()


# Sketches


def test_a_seed_draws_the_sketches_and_a_checkpoint_keeps_them() -> None:
    first, again, other = graph(), graph(), graph(seed=1)
    assert torch.equal(first.place_1, again.place_1)
    assert not torch.equal(first.place_1, other.place_1)
    other.load_state_dict(first.state_dict())
    torch.testing.assert_close(
        other(student(), outputs(), targets())[''],
        first(student(), outputs(), targets())[''],
    )


# Past clips


def test_past_clips_fill_up_a_small_batch() -> None:
    head = graph('ab', min_vectors=6)
    seen: list[tuple[Tensor, Tensor]] = []
    for seed, used in ((0, 4), (10, 6), (20, 6)):
        own, teachers = student(seed=seed), outputs('ab', seed=seed)
        projected = unit_length(head.projection(own.features['x'].mean((2, 3, 4))))
        seen.insert(0, (vectors(head, teachers, 0, 1), projected))
        theirs, ours = (torch.cat(part)[:used] for part in zip(*seen))
        term = head(own, teachers, targets())['']
        torch.testing.assert_close(term, mmd(theirs, ours))


def test_past_clips_have_no_gradient_and_none_join_a_large_batch() -> None:
    head = graph('ab', min_vectors=4)
    alone = graph('ab')
    head(student(), outputs('ab'), targets())
    for clips in (4, 6):
        labels = targets([0] * clips)
        own, teachers = student(clips, 3), outputs('ab', clips, 3)
        torch.testing.assert_close(
            head(own, teachers, labels)[''], alone(own, teachers, labels)['']
        )
    head(student(2), outputs('ab', 2), targets([0, 1]))[''].backward()
    assert not head.student_queue.requires_grad


def test_an_overflow_of_one_step_does_not_join_the_queue() -> None:
    head, twin = graph('ab', min_vectors=9), graph('ab', min_vectors=9)
    for each in (head, twin):
        each(student(), outputs('ab'), targets())
    broken = student()
    broken.features['x'][0, 0] = torch.inf
    head(broken, outputs('ab'), targets())
    assert head.queued == twin.queued
    assert torch.equal(head.student_queue, twin.student_queue)
    assert torch.equal(head.teacher_queue, twin.teacher_queue)


def test_evaluation_leaves_the_queue_alone() -> None:
    head = graph('ab', min_vectors=6).eval()
    head(student(), outputs('ab'), targets())
    assert head.queued == 0
    assert head.teacher_queue.count_nonzero() == 0


def test_a_checkpoint_holds_the_past_clips() -> None:
    settings = dict(
        type='mmvkd.RepresentationGraphHead',
        tap='backbone.layer3',
        pool='clip',
        joint=False,
        dim=32,
        edges='learned',
    )
    model = distiller(heads=dict(g=settings)).train()
    data = batch()
    for _ in range(2):
        backward(model, data)
    state = copy.deepcopy(model.state_dict())
    assert state['distill.heads.g.queued'] == 4
    other = distiller(heads=dict(g=dict(settings, seed=5))).train()
    other.teachers['t'].model.load_state_dict(model.teachers['t'].model.state_dict())
    other.load_state_dict(state)
    torch.manual_seed(1)
    expected = losses(model, data)
    torch.manual_seed(1)
    assert torch.equal(losses(other, data)['loss_g'], expected['loss_g'])


# What is refused


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(edges='confidence'), "'confidence' is unknown; known: uniform, learned"),
        (dict(pool='space'), "pool 'space' is unknown; known: clip, frame"),
        (dict(dim=0), 'dim must be 1 or more'),
        (dict(min_vectors=-1), 'min_vectors must be 0 or more, got -1'),
    ],
)
def test_a_wrong_graph_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        graph(**wrong)


def test_a_teacher_whose_name_would_split_a_pair_is_refused() -> None:
    head = RepresentationGraphHead(tap='x')
    student = ModelCard('student', 3, False, dict(x=(7, 2, 3, 3)))
    cards = {
        name: ModelCard(name, 3, False, dict(x=SHAPES['a'])) for name in ('a+b', 'c')
    }
    with pytest.raises(ValueError, match=r'no teacher.s name has a \+: a\+b, c'):
        head.attach(student, cards)


@pytest.mark.parametrize('min_vectors', [0, 4])
def test_no_buffer_is_empty(min_vectors: int) -> None:
    """torch 2.4 cannot average an empty buffer among ranks."""
    head = RepresentationGraphHead(tap='a', dim=8, joint=False, min_vectors=min_vectors)
    card = ModelCard('s', 3, False, {'a': (4, 2, 3, 3)})
    head.attach(card, {'t': card})
    assert all(buffer.numel() for buffer in head.buffers())
    assert hasattr(head, 'teacher_queue') is (min_vectors > 0)


def test_a_lone_vector_is_drawn_to_its_teachers_to_the_end() -> None:
    head = graph('ab', pool='clip', joint=True)
    theirs = unit_length(torch.ones(1, 1, 1, 16))
    apart = []
    for distance in (0.3, 0.03, 0.003):
        own = theirs.clone()
        own[..., 0] += distance
        apart.append(float(head._discrepancy_by_place(theirs, own)))
    # in units of their own distance, they would always be as far apart
    assert apart[0] > 0.5 > 0.2 > apart[1] > 10 * apart[2]
