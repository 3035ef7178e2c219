"""The spectrum head compares features of any size, and sees what its terms see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recognizer_toys import (
    backward,
    distiller,
    teacher,
    tiny_slowfast,
    volumes,
    without_gradient,
)
from torch import Tensor
from toys import batch, tiny_tsm

from mmvkd.models import SpectrumHead
from mmvkd.models.losses import spectrum_amplitude, spectrum_coherence, spectrum_energy
from mmvkd.models.outputs import ModelCard, Outputs, Targets

ALL = dict(amplitude=1.0, energy=1.0, coherence=1.0)
IDENTITY = dict(type='mmvkd.IdentityConnector')


def card(name: str, shape: tuple) -> ModelCard:
    return ModelCard(name, 4, shapes=dict(a=shape))


def attached(own: tuple, theirs: tuple, **kwargs: Any) -> SpectrumHead:
    head = SpectrumHead(tap='a', **kwargs)
    cards = [
        ModelCard(name, 4, shapes={'a': x}) for name, x in zip('st', (own, theirs))
    ]
    head.attach(cards[0], dict(t=cards[1]))
    return head


def terms(head: SpectrumHead, own: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    logits = torch.zeros(len(own), 4)
    student, other = (Outputs(logits, dict(a=x)) for x in (own, theirs))
    return head(student, dict(t=other), Targets(None))


def feature(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_terms_are_the_losses_averaged_over_clips_and_have_their_weights() -> None:
    own, theirs = feature(2, 3, 4, 5, 5), feature(2, 3, 4, 5, 5, seed=1)
    weights = dict(amplitude=2.0, energy=0.5, coherence=3.0)
    settings: dict = dict(static_weight=0.4, bands=[1.0, 0.2])
    shapes = ((3, 4, 5, 5), (3, 4, 5, 5))
    common: dict = dict(terms=weights, connector=IDENTITY)
    # maps are pooled to 2 by 2, if nothing else is said
    for grid, chosen, kwargs in ((2, {}, {}), (5, dict(grid=5, **settings), settings)):
        made = attached(*shapes, **common, **chosen)
        pair = [F.adaptive_avg_pool3d(x, (4, grid, grid)) for x in (own, theirs)]
        expected = dict(
            amplitude=spectrum_amplitude(*pair, **kwargs).mean(),
            energy=spectrum_energy(*pair, **kwargs).mean(),
            coherence=spectrum_coherence(*pair, **kwargs).mean(),
        )
        got = terms(made, own, theirs)
        assert set(got) == set(made.terms) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value)
            assert made.weight_of(name) == weights[name]


@pytest.mark.parametrize(
    ('own', 'theirs'),
    [
        ((3, 4, 6, 6), (5, 8, 3, 3)),
        ((3, 8, 3, 5), (2, 4, 6, 6)),
        ((3, 5, 1, 1), (3, 5, 7, 7)),
    ],
)
def test_features_of_any_size_are_compared(own: tuple, theirs: tuple) -> None:
    head = attached(own, theirs, terms=ALL)
    student = feature(2, *own).requires_grad_()
    found = terms(head, student, feature(2, *theirs, seed=1))
    sum(found.values()).backward()
    assert all(torch.isfinite(value) and value > 0 for value in found.values())
    assert student.grad is not None and student.grad.abs().sum() > 0


def test_a_student_at_half_the_frame_rate_keeps_its_slow_motion() -> None:
    time = (torch.arange(8.0) + 0.5)[None, None, :, None, None]
    slow, fast = (1 + torch.cos(2 * torch.pi * f * time / 8) for f in (1, 3))
    # two frames of the teacher are one of the student, which sees their mean
    half = slow.unflatten(2, (4, 2)).mean(3)
    head = attached((1, 4, 1, 1), (1, 8, 1, 1), terms=ALL, connector=IDENTITY)
    alike, unlike = terms(head, half, slow), terms(head, half, fast)
    for name in ALL:
        assert alike[name] < 0.3 * unlike[name]


@pytest.mark.parametrize(
    ('student', 'other', 'data'),
    [
        (tiny_tsm(), tiny_slowfast(), batch(frames=8)),
        (tiny_slowfast(), tiny_tsm(frames=8), volumes()),
    ],
    ids=['3-D to 2-D', '2-D to 3-D'],
)
def test_recognizers_of_two_and_three_dimensions_teach_each_other(
    student: dict, other: dict, data: dict
) -> None:
    taps = [
        'backbone.fast_path.layer3'
        if recognizer['type'] == 'Recognizer3D'
        else 'backbone.layer3'
        for recognizer in (student, other)
    ]
    head = dict(type='mmvkd.SpectrumHead', tap=taps[0], teacher_tap=taps[1], terms=ALL)
    model = distiller(student, dict(t=teacher(other)), dict(s=head))
    entries = backward(model, data)
    for term in ALL:
        assert 0 < entries[f'loss_s_{term}'] < 2
    assert not without_gradient(model)


def test_energy_alone_learns_no_connector() -> None:
    head = attached((3, 4, 6, 6), (5, 4, 6, 6), terms=dict(energy=1.0))
    assert not list(head.parameters())
    assert list(attached((3, 4, 6, 6), (5, 4, 6, 6)).parameters())


def test_a_term_of_weight_zero_is_left_out() -> None:
    head = SpectrumHead(tap='a', terms=dict(amplitude=0.0, coherence=1.0))
    assert list(head.terms) == ['coherence']


def test_a_grid_below_one_is_told() -> None:
    with pytest.raises(ValueError, match='grid must be 1 or more, got 0'):
        SpectrumHead(tap='a', grid=0)


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(phase=1.0), r"'phase' with weight 1.0.*amplitude, coherence, energy"),
        (dict(energy=-1.0), r"'energy' with weight -1.0; weights of at least 0"),
        (dict(energy=0.0), 'no term has a weight above 0; choose of amplitude'),
        (
            ['energy'],
            r"a dict of weights, .* terms=dict\(amplitude=1.0\); got \['energy",
        ),
    ],
)
def test_wrong_terms_are_told(wrong: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SpectrumHead(tap='a', terms=wrong)


def test_a_tap_behind_the_pooling_of_time_is_told() -> None:
    with pytest.raises(ValueError, match=r"tap 'a' of 't' has 1 frame, and motion"):
        attached((3, 4, 6, 6), (5, 1, 6, 6))


def test_clips_too_short_for_their_tap_are_told() -> None:
    head = attached((3, 4, 6, 6), (5, 4, 6, 6))
    with pytest.raises(ValueError, match=r"tap 'a' of 't' has 1 frame.*longer clips"):
        terms(head, feature(2, 3, 2, 6, 6), feature(2, 5, 1, 6, 6))


def test_a_students_clips_too_short_for_its_tap_are_told() -> None:
    head = attached((3, 4, 6, 6), (5, 4, 6, 6))
    with pytest.raises(ValueError, match=r"'a' of 'student' has 1 frame.*longer clips"):
        terms(head, feature(2, 3, 1, 6, 6), feature(2, 5, 2, 6, 6))
