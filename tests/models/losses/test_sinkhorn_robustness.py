"""The Sinkhorn solver at its limits: of precision, memory, iterations and input."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transport_toys import binary_cost, divergence_of, ground_cost, probabilities

from mmvkd.models.losses import default_epsilon, sinkhorn, transport


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
