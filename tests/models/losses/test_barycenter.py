from __future__ import annotations

import pytest
import torch
from transport_toys import binary_cost

from mmvkd.models.losses import (
    prototype_cost,
    sinkhorn,
    sinkhorn_barycenter,
    transport,
)

EXACT = {'tol': 1e-11, 'max_iter': 20000}


def ground_cost(classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return prototype_cost([torch.randn(classes, 6, generator=generator)]).double()


def vertices(clips, teachers, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (clips, teachers, classes)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (2 * logits).softmax(-1)


def trust(clips, teachers, seed=1):
    generator = torch.Generator().manual_seed(seed)
    score = torch.randn(clips, teachers, generator=generator, dtype=torch.float64)
    return score.softmax(-1)


@pytest.mark.parametrize('epsilon', [0.1, 0.5])
@pytest.mark.parametrize('teachers', [2, 4])
def test_the_barycenter_is_that_of_another_solver(teachers, epsilon):
    ot = pytest.importorskip('ot', reason='POT is needed for its barycenter')
    p, weight, cost = vertices(3, teachers, 7), trust(3, teachers), ground_cost(7)

    found = sinkhorn_barycenter(p, weight, cost, epsilon, **EXACT)

    for n in range(3):
        expected = ot.bregman.barycenter_debiased(
            p[n].T.numpy(),
            cost.numpy(),
            epsilon,
            weights=weight[n].numpy(),
            stopThr=1e-12,
            numItermax=20000,
        )
        assert found.rows[n].tolist() == pytest.approx(expected.tolist(), abs=1e-7)


@pytest.mark.parametrize('teachers', [1, 2, 4])
@pytest.mark.parametrize('classes', [5, 60])
def test_no_small_change_of_the_barycenter_lowers_the_sum_of_divergences(
    classes, teachers
):
    p, weight = vertices(3, teachers, classes), trust(3, teachers)
    cost = ground_cost(classes)
    center = sinkhorn_barycenter(p, weight, cost, **EXACT).rows.requires_grad_()

    total = sum(
        (weight[:, k] * sinkhorn(p[:, k], center, cost, **EXACT).divergence).sum()
        for k in range(teachers)
    )

    (slope,) = torch.autograd.grad(total, center)
    assert slope.abs().max() < 1e-8
    # at the mean there is one
    if teachers > 1:
        mean = (weight[..., None] * p).sum(1).requires_grad_()
        away = sum(
            (weight[:, k] * sinkhorn(p[:, k], mean, cost).divergence).sum()
            for k in range(teachers)
        )
        assert torch.autograd.grad(away, mean)[0].abs().max() > 1e-4
        assert away > total


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('classes', [2, 17, 174])
@pytest.mark.parametrize('clips', [1, 5])
def test_a_single_vertex_is_its_own_barycenter_to_the_last_bit(clips, classes, dtype):
    p = vertices(clips, 1, classes).to(dtype)

    found = sinkhorn_barycenter(p, torch.ones(clips, 1), ground_cost(classes))

    assert torch.equal(found.rows, p[:, 0])
    assert (found.error < 1e-4).all()


def test_a_vertex_with_all_the_weight_is_the_barycenter():
    p, weight = vertices(2, 3, 9), torch.tensor([[0.0, 1.0, 0.0]]).expand(2, 3)

    found = sinkhorn_barycenter(p, weight, ground_cost(9), **EXACT)

    torch.testing.assert_close(found.rows, p[:, 1], atol=1e-9, rtol=0)


def test_rows_sum_to_one_and_follow_the_names_of_the_classes():
    p, weight, cost = vertices(4, 3, 7), trust(4, 3), ground_cost(7)
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3])

    plain = sinkhorn_barycenter(p, weight, cost, **EXACT).rows
    renamed = sinkhorn_barycenter(
        p[..., order], weight, cost[order][:, order], **EXACT
    ).rows

    torch.testing.assert_close(plain.sum(-1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(renamed, plain[:, order])


def test_the_barycenter_lies_between_classes_where_the_mean_has_two_peaks():
    # on a line, with the distance along it
    places = torch.linspace(0, 1, 11, dtype=torch.float64)
    cost = (places[:, None] - places).square()
    p = torch.full((1, 2, 11), 1e-3, dtype=torch.float64)
    p[0, 0, 0] = p[0, 1, 10] = 0.99

    found = sinkhorn_barycenter(
        p, torch.full((1, 2), 0.5), cost, 0.02, max_iter=20000, tol=1e-6
    )

    assert int(found.rows.argmax()) == 5


@pytest.mark.parametrize('classes', [12, 400])
def test_the_default_float32_solver_is_near_the_converged_one(classes):
    p, weight = vertices(4, 4, classes), trust(4, 4)
    cost = ground_cost(classes)

    exact = sinkhorn_barycenter(p, weight, cost, **EXACT)
    fast = sinkhorn_barycenter(p.float(), weight.float(), cost)

    assert (exact.error < 1e-10).all()
    assert (fast.error <= 1e-4).all()
    assert (fast.rows - exact.rows).abs().sum(-1).max() < 5e-3


@pytest.mark.parametrize('epsilon', [None, 1e-3])
def test_exact_zeros_stay_finite(epsilon):
    p = torch.eye(6)[torch.tensor([[0, 1], [2, 2], [3, 4]])]
    p[2, 1] = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.5, 0.0])

    found = sinkhorn_barycenter(p, torch.full((3, 2), 0.5), ground_cost(6), epsilon)

    assert found.rows.isfinite().all() and found.error.isfinite().all()
    assert found.rows[1].tolist() == pytest.approx([0, 0, 1, 0, 0, 0], abs=1e-5)
    # classes empty at all vertices stay empty
    assert found.rows[0, 2:].count_nonzero() == 0


def test_a_clip_converges_as_it_would_alone():
    p, weight, cost = vertices(5, 3, 20), trust(5, 3), ground_cost(20)

    together = sinkhorn_barycenter(p, weight, cost, 0.05, tol=1e-3)

    assert together.iterations.unique().numel() > 1
    for n in range(5):
        alone = sinkhorn_barycenter(
            p[n : n + 1], weight[n : n + 1], cost, 0.05, tol=1e-3
        )
        assert alone.iterations[0] == together.iterations[n]
        torch.testing.assert_close(alone.rows[0], together.rows[n])


def test_the_log_domain_fallback_agrees_with_the_kernel(monkeypatch):
    p, weight, cost = vertices(3, 2, 7), trust(3, 2), ground_cost(7)
    expected = sinkhorn_barycenter(p, weight, cost, 0.1).rows
    monkeypatch.setattr(transport, 'KERNEL_LIMIT', 0.0)
    monkeypatch.setattr(transport, 'CHUNK_ENTRIES', 50)

    found = sinkhorn_barycenter(p, weight, cost, 0.1).rows

    torch.testing.assert_close(found, expected)


def test_no_gradient_is_kept_and_half_precision_is_solved_in_float32():
    p, cost = vertices(2, 2, 5).requires_grad_(), ground_cost(5)
    weight = torch.full((2, 2), 0.5)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = sinkhorn_barycenter(p.bfloat16(), weight, cost)

    assert not found.rows.requires_grad
    assert found.rows.dtype == torch.float32
    expected = sinkhorn_barycenter(p.detach().bfloat16().float(), weight, cost)
    assert torch.equal(found.rows, expected.rows)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'weight': torch.ones(2, 4)}, r'weight \(2, 4\).*\(2, 2, 3\)'),
        ({'cost': torch.ones(4, 4)}, r'\(4, 4\) does not fit 3 classes'),
        ({'epsilon': 0.0}, 'epsilon must be above 0, got 0'),
        ({'max_iter': 0}, 'max_iter must be above 0'),
        ({'tol': -1.0}, 'tol must be above 0, got -1'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {
        'vertices': torch.full((2, 2, 3), 1 / 3),
        'weight': torch.full((2, 2), 0.5),
        'cost': binary_cost(3),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        sinkhorn_barycenter(**arguments)


@pytest.mark.parametrize('tiny', [1e-30, 1e-38, 1e-42])
@pytest.mark.parametrize('epsilon', [0.026, 0.1])
def test_what_is_all_but_empty_at_the_vertices_may_be_full_between_them(
    epsilon: float, tiny: float
) -> None:
    place = torch.linspace(0, 1, 3)
    vertices = torch.tensor([[[1, tiny, tiny], [tiny, tiny, 1]]])
    cost = (place[:, None] - place).abs()
    found = sinkhorn_barycenter(vertices, torch.full((1, 2), 0.5), cost, epsilon)
    exact = sinkhorn_barycenter(
        vertices.double(), torch.full((1, 2), 0.5).double(), cost.double(), epsilon
    )
    torch.testing.assert_close(found.rows, exact.rows.float(), rtol=0, atol=1e-3)
