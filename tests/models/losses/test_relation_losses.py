from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import pearsonr

from mmvkd.models.losses import correlation_distance, dist_inter, dist_intra


def pair(shape, seed=0, scale=2.0):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal(shape), scale * rng.standard_normal(shape)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('shape', [(3, 3), (5, 12), (8, 101)])
def test_dist_equals_one_minus_the_pearson_correlation_of_scipy(shape, temperature):
    student, teacher = pair(shape)
    q, p = (softmax(z / temperature, axis=1) for z in (student, teacher))
    inter = [1 - pearsonr(q[n], p[n])[0] for n in range(shape[0])]
    intra = [1 - pearsonr(q[:, m], p[:, m])[0] for m in range(shape[1])]

    tensors = torch.from_numpy(student), torch.from_numpy(teacher)

    # the floor under the norm costs up to half of (1e-4 rms / std) squared
    assert dist_inter(*tensors, temperature).tolist() == pytest.approx(inter, abs=1e-5)
    assert dist_intra(*tensors, temperature).tolist() == pytest.approx(intra, abs=1e-5)


def test_dist_inter_ignores_affine_maps_of_the_probabilities_of_a_clip():
    _, teacher = pair((5, 9))
    p = torch.from_numpy(softmax(teacher, axis=1))
    slope = torch.linspace(0.2, 0.9, 5, dtype=torch.float64)[:, None]
    flatter = (slope * p + (1 - slope) / 9).log()

    assert dist_inter(flatter, p.log()).max() < 1e-8
    student = torch.from_numpy(pair((5, 9), seed=1)[0])
    torch.testing.assert_close(
        dist_inter(student, flatter), dist_inter(student, p.log()), rtol=1e-6, atol=1e-6
    )


def test_dist_inter_ignores_shifts_of_the_logits():
    student, teacher = (torch.from_numpy(z) for z in pair((5, 9)))

    torch.testing.assert_close(
        dist_inter(student + 3, teacher - 1), dist_inter(student, teacher)
    )


@pytest.mark.parametrize('dim', [0, 1])
def test_the_correlation_distance_ignores_positive_slopes_and_offsets(dim):
    x, y = (torch.from_numpy(z) for z in pair((6, 7)))
    shape = (1, 7) if dim == 0 else (6, 1)
    slope, offset = torch.rand(2, *shape, dtype=torch.float64) + 0.5

    moved = correlation_distance(slope * x + offset, y, dim=dim)

    torch.testing.assert_close(
        moved, correlation_distance(x, y, dim=dim), rtol=1e-6, atol=1e-6
    )


def test_the_correlation_distance_reaches_two_for_opposites():
    x, _ = (torch.from_numpy(z) for z in pair((4, 9)))

    distance = correlation_distance(x, -x)

    torch.testing.assert_close(
        distance, torch.full((4,), 2.0).double(), rtol=1e-6, atol=0
    )


def test_dist_intra_sees_the_order_of_the_clips_and_dist_inter_does_not():
    student, teacher = (torch.from_numpy(z) for z in pair((6, 4)))
    order = torch.tensor([3, 0, 5, 1, 2, 4])

    assert not torch.allclose(
        dist_intra(student[order], teacher), dist_intra(student, teacher)
    )
    torch.testing.assert_close(
        dist_intra(student[order], teacher[order]), dist_intra(student, teacher)
    )
    torch.testing.assert_close(
        dist_inter(student[order], teacher[order]), dist_inter(student, teacher)[order]
    )


def test_dist_intra_of_a_single_clip_is_zero_with_zero_gradient():
    student = torch.randn(1, 5, requires_grad=True)

    loss = dist_intra(student, torch.randn(1, 5))
    loss.sum().backward()

    assert loss.tolist() == [0.0] * 5
    assert student.grad.count_nonzero() == 0


def test_dist_intra_survives_a_class_that_nobody_predicts():
    student = torch.randn(4, 3)
    student[:, 0] = -1e4
    student.requires_grad_()

    loss = dist_intra(student, torch.randn(4, 3))
    loss.sum().backward()

    assert loss.isfinite().all()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('function', [dist_inter, dist_intra])
def test_the_gradient_of_dist_agrees_with_finite_differences(function):
    student, teacher = (torch.from_numpy(z) for z in pair((4, 5), scale=1.0))

    assert torch.autograd.gradcheck(
        function, (student.requires_grad_(), teacher.requires_grad_())
    )


@pytest.mark.parametrize('function', [dist_inter, dist_intra])
def test_dist_refuses_unequal_shapes_and_temperature_zero(function):
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 4\)'):
        function(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match='temperature must be above 0'):
        function(torch.zeros(2, 3), torch.zeros(2, 3), temperature=0.0)
