"""Transport where every two classes are equally far apart."""

from __future__ import annotations

import pytest
import torch
from transport_toys import binary_cost, probabilities

from mmvkd.models.losses import binary_transport


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
