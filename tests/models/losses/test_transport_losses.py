from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmvkd.models.losses import (
    binary_cost,
    binary_transport,
    default_epsilon,
    prototype_cost,
    sinkhorn,
    transport,
)

EXACT = {'tol': 1e-12, 'max_iter': 5000}


@pytest.fixture
def exact_cost():
    """Return the exact transport cost of two distributions, by POT."""
    return pytest.importorskip('ot', reason='POT is needed for its exact solver').emd2


def ground_cost(classes, seed=0, channels=6):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, channels, generator=generator)
    return prototype_cost(weight).double()


def probabilities(clips, classes, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(clips, classes, generator=generator, dtype=torch.float64)
    return (scale * logits).softmax(-1)


def divergence_of(*args, **settings):
    return sinkhorn(*args, **settings).divergence


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


@pytest.mark.parametrize('fraction', [0.2, 0.75, 0.99])
def test_rows_at_opposite_ends_are_right_up_to_the_kernels_limit(
    fraction: float,
) -> None:
    place = torch.linspace(0, 1, 50)
    cost = (place[:, None] - place).abs()
    p, q = torch.zeros(2, 4, 50)
    p[:, 0] = 1
    q[range(4), [0, 9, 30, 49]] = 1
    p[2] = (-200 * place).softmax(-1)
    epsilon = 1 / (fraction * transport.KERNEL_LIMIT)
    result = sinkhorn(p, q, cost, epsilon)
    # debiased: single places are apart by what lies between them
    apart = place[[0, 9, 49]]
    torch.testing.assert_close(result.divergence[[0, 1, 3]], apart)
    exact = sinkhorn(p.double(), q.double(), cost.double(), epsilon)
    torch.testing.assert_close(result.divergence, exact.divergence.float())


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

    near, far = divergence_of(teacher, student, prototype_cost(prototypes).float())

    assert near < 0.2 * far


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('epsilon', [None, 0.005])
def test_exact_zeros_and_one_hot_rows_stay_finite(dtype, epsilon):
    cost = ground_cost(6)
    p = torch.eye(6, dtype=dtype)[[0, 1, 2, 3]]
    q = torch.eye(6, dtype=dtype)[[0, 4, 3, 5]]
    q[3] = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.5, 0.0])
    p.requires_grad_()
    q.requires_grad_()

    divergence = divergence_of(p, q, cost, epsilon)
    divergence.sum().backward()

    # between single classes there is one plan, so no blur either
    expected = [0.0, float(cost[1, 4]), float(cost[2, 3])]
    assert divergence[:3].tolist() == pytest.approx(expected, abs=1e-5)
    assert divergence.isfinite().all()
    assert p.grad.isfinite().all()
    assert q.grad.isfinite().all()
    assert q.grad[0].count_nonzero() == 0


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


def test_rows_need_not_sum_to_one_exactly():
    p, q, cost = probabilities(3, 7, 0), probabilities(3, 7, 1), ground_cost(7)

    rounded = sinkhorn(p.bfloat16(), q.bfloat16(), cost)

    assert (rounded.error < 1e-4).all()
    plain = divergence_of(p, q, cost)
    torch.testing.assert_close(rounded.divergence.double(), plain, rtol=0.05, atol=0.01)


@pytest.mark.parametrize('chunk', [1, 50, 10**6])
def test_the_log_domain_fallback_agrees_with_the_kernel(monkeypatch, chunk):
    p, q, cost = probabilities(3, 7, 0), probabilities(3, 7, 1), ground_cost(7)
    q.requires_grad_()
    expected = divergence_of(p, q, cost, 0.1)
    expected_grad = torch.autograd.grad(expected.sum(), q)[0]

    monkeypatch.setattr(transport, 'KERNEL_LIMIT', 0.0)
    monkeypatch.setattr(transport, 'CHUNK_ENTRIES', chunk)
    divergence = divergence_of(p, q, cost, 0.1)

    torch.testing.assert_close(divergence, expected)
    torch.testing.assert_close(
        torch.autograd.grad(divergence.sum(), q)[0], expected_grad
    )


def test_a_float32_kernel_at_its_limit_still_agrees_with_float64():
    p, q, cost = probabilities(4, 7, 0), probabilities(4, 7, 1), ground_cost(7)
    p[0] = torch.eye(7)[0]
    q[0] = torch.eye(7)[int(cost[0].argmax())]
    epsilon = float(cost.max()) / (0.999 * transport.KERNEL_LIMIT)

    single = sinkhorn(p.float(), q.float(), cost, epsilon, max_iter=2000)
    double = sinkhorn(p, q, cost, epsilon, max_iter=2000)

    torch.testing.assert_close(
        single.divergence.double(), double.divergence, rtol=1e-3, atol=1e-5
    )


class LargestTensor(TorchDispatchMode):
    """Remembers the most entries that any operation returned."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.entries = max(self.entries, leaf.numel())
        return out


def test_no_tensor_is_larger_than_the_cost_or_the_batch():
    p, q = (probabilities(64, 700, seed).float() for seed in (0, 1))
    cost = ground_cost(700, channels=64).float()
    epsilon = default_epsilon(cost)
    with LargestTensor() as largest:
        divergence_of(p, q.requires_grad_(), cost, epsilon).sum().backward()

    assert largest.entries == 700 * 700


def test_the_fallback_keeps_within_its_chunk(monkeypatch):
    monkeypatch.setattr(transport, 'CHUNK_ENTRIES', 3000)
    p, q = probabilities(8, 40, 0), probabilities(8, 40, 1)
    with LargestTensor() as largest:
        divergence_of(p, q, ground_cost(40), 1e-3, max_iter=5)

    assert 8 * 40 < largest.entries <= 3000


def test_a_clip_converges_as_it_would_alone():
    p, q = probabilities(5, 20, 0, scale=4.0), probabilities(5, 20, 1)
    cost = ground_cost(20)

    together = sinkhorn(p, q, cost, 0.05, tol=1e-3)

    assert together.iterations.unique().numel() > 1
    for n in range(5):
        alone = sinkhorn(p[n : n + 1], q[n : n + 1], cost, 0.05, tol=1e-3)
        assert alone.iterations[0] == together.iterations[n]
        torch.testing.assert_close(
            alone.divergence[0], together.divergence[n], rtol=1e-12, atol=1e-14
        )


def test_the_error_and_the_iteration_count_tell_what_was_reached():
    p, q, cost = probabilities(3, 20, 0), probabilities(3, 20, 1), ground_cost(20)

    cut_off = sinkhorn(p, q, cost, 0.02, max_iter=7, tol=1e-9)
    converged = sinkhorn(p, q, cost, 0.2, tol=1e-9)

    assert cut_off.iterations.tolist() == [10, 10, 10]
    assert (cut_off.error > 1e-9).all()
    assert (converged.error <= 1e-9).all()
    assert (converged.iterations % 5 == 0).all()
    assert converged.iterations.max() < 500


def test_a_clip_that_is_not_finite_neither_stalls_nor_spoils_the_others():
    p, q = probabilities(3, 6, 0), probabilities(3, 6, 1)
    expected = divergence_of(p, q, ground_cost(6))
    q[1] = float('nan')

    result = sinkhorn(p, q, ground_cost(6))

    assert result.divergence.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(result.divergence[[0, 2]], expected[[0, 2]])
    assert result.iterations.max() < 500


def test_an_empty_batch_gives_an_empty_result():
    empty = torch.zeros(0, 4, requires_grad=True)

    divergence = divergence_of(empty, empty, binary_cost(4))
    divergence.sum().backward()

    assert divergence.shape == (0,)


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


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'q': torch.ones(2, 4)}, r'student.*\(2, 4\).*teacher.*\(2, 3\)'),
        ({'cost': torch.ones(4, 4)}, r'\(4, 4\) does not fit 3 classes'),
        ({'epsilon': 0.0}, 'epsilon must be above 0, got 0'),
        ({'max_iter': 0}, 'max_iter must be above 0'),
        ({'tol': -1.0}, 'tol must be above 0, got -1'),
        ({'cost': torch.zeros(3, 3)}, 'epsilon must be above 0'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {
        'p': torch.full((2, 3), 1 / 3),
        'q': torch.full((2, 3), 1 / 3),
        'cost': binary_cost(3),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        sinkhorn(**arguments)


def test_transport_within_a_single_class_is_refused():
    with pytest.raises(ValueError, match='2 classes or more, got 1'):
        sinkhorn(torch.ones(2, 1), torch.ones(2, 1), torch.zeros(1, 1))


@pytest.mark.parametrize('seed', [0, 1])
def test_binary_transport_equals_the_exact_cost_far_from_the_corner(exact_cost, seed):
    p, q = probabilities(4, 6, seed), probabilities(4, 6, seed + 10)
    cost = binary_cost(6).double().numpy()
    exact = [exact_cost(a.numpy(), b.numpy(), cost) for a, b in zip(p, q)]

    loss = binary_transport(p, q, delta=1e-9)

    assert loss.tolist() == pytest.approx(exact, abs=1e-8)
    rounded = binary_transport(p, q)
    assert (rounded <= loss).all()
    assert (rounded >= loss - 6 * (0.1 / 6) / 4).all()


def test_the_gradient_of_binary_transport_fades_within_its_corner():
    p = torch.full((3, 4), 0.25, dtype=torch.float64)
    offset = torch.tensor([0.001, 0.005, 0.1], dtype=torch.float64)[:, None]
    direction = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    q = (p + offset * direction).requires_grad_()

    binary_transport(p, q, delta=0.01).sum().backward()

    expected = torch.tensor([0.05, 0.25, 0.5], dtype=torch.float64)[:, None]
    torch.testing.assert_close(q.grad, expected * direction)


def test_binary_transport_agrees_with_finite_differences():
    p, q = (probabilities(2, 5, seed).requires_grad_() for seed in (0, 1))

    assert torch.autograd.gradcheck(binary_transport, (p, q))


def test_binary_transport_refuses_a_corner_of_no_width():
    p = torch.full((1, 2), 0.5)
    with pytest.raises(ValueError, match='delta must be above 0, got 0'):
        binary_transport(p, p, delta=0.0)
