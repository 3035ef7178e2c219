"""Values and gradients of the Sinkhorn divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from transport_toys import divergence_of, ground_cost, probabilities

from mmvkd.models.losses import default_epsilon, prototype_cost, sinkhorn

EXACT = {'tol': 1e-12, 'max_iter': 5000}


def softmin_by_loop(potential, cost, epsilon, mass):
    return np.array(
        [-epsilon * logsumexp((potential - row) / epsilon, b=mass) for row in cost]
    )


def entropic_cost_by_loop(p, q, cost, epsilon):
    """OT_eps(p, q) of one pair from alternating updates and the primal plan."""
    f, g, error = np.zeros_like(p), np.zeros_like(q), 1.0
    while error > 1e-10:
        f = softmin_by_loop(g, cost, epsilon, q)
        g = softmin_by_loop(f, cost.T, epsilon, p)
        log_ratio = (f[:, None] + g[None] - cost) / epsilon
        plan = p[:, None] * q[None] * np.exp(log_ratio)
        error = np.abs(plan.sum(1) - p).sum()
    return (plan * cost).sum() + epsilon * (plan * log_ratio).sum()


def divergence_by_loop(p, q, cost, epsilon):
    return [
        entropic_cost_by_loop(a, b, cost, epsilon)
        - entropic_cost_by_loop(a, a, cost, epsilon) / 2
        - entropic_cost_by_loop(b, b, cost, epsilon) / 2
        for a, b in zip(p, q)
    ]


@pytest.mark.parametrize('epsilon', [0.15, 1.0])
@pytest.mark.parametrize(('clips', 'classes'), [(1, 2), (2, 6)])
def test_the_divergence_equals_three_primal_costs_of_another_solver(
    clips, classes, epsilon
):
    p, q = probabilities(clips, classes, 0), probabilities(clips, classes, 1)
    cost = ground_cost(classes)
    expected = divergence_by_loop(p.numpy(), q.numpy(), cost.numpy(), epsilon)

    divergence = divergence_of(p, q, cost, epsilon, **EXACT)

    assert divergence.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_divergence_tends_to_the_exact_transport_cost(exact_cost, seed):
    p, q = probabilities(3, 6, seed), probabilities(3, 6, seed + 10)
    cost = ground_cost(6, seed)
    exact = [exact_cost(a.numpy(), b.numpy(), cost.numpy()) for a, b in zip(p, q)]

    gaps = [
        np.abs(
            divergence_of(p, q, cost, epsilon, tol=1e-6, max_iter=3000).numpy() - exact
        ).max()
        for epsilon in (0.2, 0.04, 0.005)
    ]

    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]
    assert gaps[2] < 5e-3


def test_the_gradient_agrees_with_finite_differences_of_the_converged_value():
    cost = ground_cost(5)
    p, q = (probabilities(2, 5, seed).requires_grad_() for seed in (0, 1))

    assert torch.autograd.gradcheck(
        lambda a, b: divergence_of(a, b, cost, 0.2, **EXACT), (p, q)
    )


def test_the_gradient_to_the_students_logits_agrees_with_finite_differences():
    cost = ground_cost(5)
    p = probabilities(2, 5)
    logits = torch.randn(
        2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()

    assert torch.autograd.gradcheck(
        lambda z: divergence_of(p, z.softmax(-1), cost, 0.2, **EXACT), (logits,)
    )


@pytest.mark.parametrize('scale', [0.02, 3.0])
@pytest.mark.parametrize('classes', [12, 400])
def test_the_default_float32_solver_is_near_the_converged_value_and_gradient(
    classes, scale
):
    cost = ground_cost(classes, channels=64)
    p = probabilities(4, classes, 0, scale=3.0)
    q = probabilities(4, classes, 1, scale=scale)
    exact_q = q.clone().requires_grad_()
    fast_q = q.float().requires_grad_()

    exact = sinkhorn(p, exact_q, cost, tol=1e-11, max_iter=5000)
    exact.divergence.sum().backward()
    fast = sinkhorn(p.float(), fast_q, cost)
    fast.divergence.sum().backward()

    assert (exact.error < 1e-11).all()
    assert (fast.error < 1e-4).all()
    torch.testing.assert_close(
        fast.divergence.double(), exact.divergence, rtol=1e-5, atol=1e-7
    )
    gap = (fast_q.grad - exact_q.grad).norm() / exact_q.grad.norm()
    assert gap < 1e-3


@pytest.mark.parametrize('frozen', ['teacher', 'student'])
def test_only_the_side_that_asks_for_a_gradient_gets_one(frozen):
    p, q = probabilities(2, 5, 0), probabilities(2, 5, 1)
    live = q if frozen == 'teacher' else p
    live.requires_grad_()

    divergence_of(p, q, ground_cost(5)).sum().backward()

    assert live.grad.abs().max() > 1e-3
    assert (p if live is q else q).grad is None


def test_the_gradient_of_a_row_has_no_component_that_a_softmax_would_remove():
    p = probabilities(3, 6, 0)
    q = probabilities(3, 6, 1).requires_grad_()

    divergence_of(p, q, ground_cost(6)).sum().backward()

    residue = (q.detach() * q.grad).sum(-1)
    torch.testing.assert_close(residue, torch.zeros_like(residue), atol=1e-12, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('classes', [2, 5, 17, 101, 174])
@pytest.mark.parametrize('clips', [1, 3, 8])
def test_equal_rows_have_divergence_and_gradients_of_exactly_zero(
    clips, classes, dtype
):
    p = probabilities(clips, classes, scale=4.0).to(dtype).requires_grad_()
    q = p.detach().clone().requires_grad_()

    divergence = divergence_of(p, q, ground_cost(classes))
    divergence.sum().backward()

    assert divergence.count_nonzero() == 0
    assert p.grad.count_nonzero() == 0
    assert q.grad.count_nonzero() == 0


def test_an_equal_row_among_others_has_a_gradient_of_exactly_zero():
    p = probabilities(5, 30, 0).float()
    q = probabilities(5, 30, 1).float()
    q[2] = p[2]
    q.requires_grad_()

    divergence_of(p, q, ground_cost(30)).sum().backward()

    assert q.grad[2].count_nonzero() == 0
    assert (q.grad.abs().amax(1) > 1e-3).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize('seed', range(3))
def test_the_divergence_is_symmetric_and_not_negative(seed):
    cost = ground_cost(9, seed)
    p = probabilities(6, 9, seed)
    q = 0.5 * (p + probabilities(6, 9, seed + 10))

    forward = divergence_of(p, q, cost)

    assert (forward > 0).all()
    torch.testing.assert_close(forward, divergence_of(q, p, cost), rtol=1e-12, atol=0)


def test_scaling_cost_and_epsilon_scales_the_divergence():
    p, q, cost = probabilities(3, 7, 0), probabilities(3, 7, 1), ground_cost(7)

    once = divergence_of(p, q, cost, 0.1)
    thrice = divergence_of(p, q, 3 * cost, 0.3)

    torch.testing.assert_close(thrice, 3 * once)


def test_renaming_the_classes_changes_nothing_and_shuffling_only_the_cost_does():
    p, q, cost = probabilities(3, 7, 0), probabilities(3, 7, 1), ground_cost(7)
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])
    shuffled = cost[order][:, order]

    plain = divergence_of(p, q, cost)

    renamed = divergence_of(p[:, order], q[:, order], shuffled)
    torch.testing.assert_close(renamed, plain)
    assert not torch.allclose(divergence_of(p, q, shuffled), plain)


def test_near_classes_are_cheaper_to_confuse_than_far_ones():
    prototypes = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.2]])
    teacher = torch.tensor([[0.9, 0.05, 0.05]]).expand(2, 3)
    student = torch.tensor([[0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])

    near, far = divergence_of(teacher, student, prototype_cost([prototypes]).float())

    assert near < 0.2 * far


def test_the_gradient_on_an_empty_class_is_the_slope_towards_it():
    cost = ground_cost(4)
    p = torch.eye(4, dtype=torch.float64)[:1]
    q = torch.tensor([[0.3, 0.7, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)

    def value(rows):
        return divergence_of(p, rows, cost, 0.2, **EXACT)

    value(q).sum().backward()

    step = 1e-8
    for m in (2, 3):
        moved = q.detach().clone()
        moved[0, m] += step
        slope = (value(moved) - value(q.detach())).item() / step
        assert q.grad[0, m].item() == pytest.approx(slope, rel=1e-3)


def test_the_default_epsilon_is_a_fifth_of_the_median_cost_between_classes():
    cost = ground_cost(8)
    # 56 entries, of which the 28th is the lower median
    off_diagonal = np.sort(cost.numpy()[~np.eye(8, dtype=bool)])

    assert default_epsilon(cost) == pytest.approx(0.2 * off_diagonal[27])
    p, q = probabilities(3, 8, 0), probabilities(3, 8, 1)
    torch.testing.assert_close(
        divergence_of(p, q, cost),
        divergence_of(p, q, cost, default_epsilon(cost)),
    )
