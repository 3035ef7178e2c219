from __future__ import annotations

import numpy as np
import pytest
import torch

from mmvkd.models.losses import median_bandwidth, mmd, paired_mmd
from mmvkd.models.losses.discrepancy import SCALES


def sample(clips=6, dim=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(clips, dim, generator=generator, dtype=torch.float64).to(dtype)


def median_by_loop(x, y):
    z = np.concatenate([x, y])
    squares = [
        ((z[a] - z[b]) ** 2).sum()
        for a in range(len(z))
        for b in range(len(z))
        if a != b
    ]
    return sorted(squares)[(len(squares) - 1) // 2]


def mmd_by_loop(x, y, w, h):
    def kernel(u, v):
        square = ((u - v) ** 2).sum()
        return np.mean([np.exp(-square / (2 * s * h)) for s in SCALES])

    return sum(
        w[a] * w[b] * (kernel(x[a], x[b]) + kernel(y[a], y[b]) - 2 * kernel(x[a], y[b]))
        for a in range(len(x))
        for b in range(len(x))
    )


@pytest.mark.parametrize('clips', [1, 2, 7])
def test_the_discrepancy_is_the_double_loop(clips):
    x, y = sample(clips), sample(clips, seed=1)
    h = median_by_loop(x.numpy(), y.numpy())
    expected = mmd_by_loop(x.numpy(), y.numpy(), np.full(clips, 1 / clips), h)

    assert median_bandwidth(x, y).item() == pytest.approx(h)
    assert mmd(x, y).item() == pytest.approx(expected)


def test_weights_are_those_of_the_double_loop():
    x, y, w = sample(5), sample(5, seed=1), np.array([0.1, 0.4, 0.2, 0.2, 0.1])
    h = median_by_loop(x.numpy(), y.numpy())
    expected = mmd_by_loop(x.numpy(), y.numpy(), w, h)

    assert mmd(x, y, torch.from_numpy(7 * w)).item() == pytest.approx(expected)


def test_a_row_of_weight_zero_is_as_if_it_were_not_there():
    x, y = sample(6), sample(6, seed=1)
    weight = torch.tensor([1.0, 0, 1, 1, 0, 1])
    x[1], y[4] = 100.0, -50.0
    kept = [0, 2, 3, 5]

    torch.testing.assert_close(mmd(x, y, weight), mmd(x[kept], y[kept]))


def test_several_pairs_of_samples_at_once_are_each_alone():
    x = torch.stack([sample(seed=s) for s in (0, 1)])
    y = torch.stack([3 * sample(seed=s) for s in (2, 3)])

    torch.testing.assert_close(
        mmd(x, y), torch.stack([mmd(a, b) for a, b in zip(x, y)])
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('shape', [(1, 4), (2, 3), (32, 256), (3, 8, 64)])
def test_equal_samples_have_value_and_gradients_of_exactly_zero(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    y = x.detach().clone().requires_grad_()

    value = mmd(x, y)
    value.sum().backward()

    assert value.count_nonzero() == 0
    assert x.grad.count_nonzero() == 0
    assert y.grad.count_nonzero() == 0


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_the_discrepancy_is_not_negative_where_an_unbiased_one_would_be(seed):
    x, y = sample(8, seed=seed), sample(8, seed=seed + 10)
    h = float(median_bandwidth(x, y))
    values = [mmd(x, x + step * (y - x)) for step in (1e-6, 1e-3, 0.1, 1.0)]

    assert min(values) >= 0
    assert values[-1] > 0
    # leaving kernels of rows with themselves out
    without = mmd_by_loop(x.numpy(), y.numpy(), np.full(8, 1 / 8), h)
    assert without - 2 / 8 < 0 < without


def test_clips_in_another_order_are_the_same_sample():
    x, y = sample(8), sample(8, seed=1)
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])

    torch.testing.assert_close(mmd(x, y[order]), mmd(x, y))
    assert mmd(x, x[order]) < 1e-12


def test_shifts_rotations_and_scales_of_both_samples_change_nothing():
    x, y = sample(), sample(seed=1)
    plain = mmd(x, y)
    rotation = torch.linalg.qr(sample(4, 4, seed=2)).Q

    torch.testing.assert_close(mmd(x + 5, y + 5), plain)
    torch.testing.assert_close(mmd(x @ rotation, y @ rotation), plain)
    torch.testing.assert_close(mmd(30 * x, 30 * y), plain)
    assert not torch.isclose(mmd(x, y + 1), plain)


def test_a_spread_is_told_from_another_with_the_same_mean():
    x = sample(64)
    x = x - x.mean(0)

    assert mmd(x, 2 * x) > 0.02


def test_the_gradient_agrees_with_finite_differences():
    x, y = sample(4).requires_grad_(), sample(4, seed=1).requires_grad_()
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0])
    bandwidth = torch.tensor(3.0, dtype=torch.float64)

    assert torch.autograd.gradcheck(
        lambda a, b: mmd(a, b, weight, bandwidth=bandwidth), (x, y)
    )


def test_a_step_along_the_gradient_brings_the_samples_together():
    x, y = sample(16), (sample(16, seed=1) + 2).requires_grad_()
    before = mmd(x, y)
    (gradient,) = torch.autograd.grad(before, y)

    assert mmd(x, y - 50 * gradient) < 0.9 * before


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_samples_of_zero_have_a_finite_gradient(dtype):
    y = torch.zeros(4, 8, dtype=dtype, requires_grad=True)
    for x in (torch.zeros(4, 8), sample(4, 8, dtype=torch.float32), torch.ones(4, 8)):
        value = mmd(x.to(dtype), y)
        value.backward()
        assert value.isfinite()
        assert y.grad.isfinite().all()


def test_bfloat16_autocast_gives_the_float32_value_of_the_same_numbers():
    x, y = (sample(8, 32, seed, torch.bfloat16) for seed in (0, 1))
    y.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = mmd(x, y)
    value.backward()

    assert value.dtype == torch.float32
    assert torch.equal(value, mmd(x.float(), y.detach().float()))
    assert y.grad.isfinite().all()
    assert y.grad.abs().max() > 0


def test_samples_far_from_the_origin_are_compared_in_float32():
    x, y = sample(dtype=torch.float32), sample(seed=1, dtype=torch.float32)

    torch.testing.assert_close(mmd(x + 100, y + 100), mmd(x, y), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'y': torch.ones(3, 2)}, r'student sample \(3, 2\).*\(4, 2\)'),
        ({'weight': torch.ones(3)}, r'weight \(3,\).*each of the 4 clips'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        mmd(**{'x': torch.ones(4, 2), 'y': torch.ones(4, 2), **change})


def test_pairs_of_rows_add_up_to_the_discrepancy_of_the_joint_distributions():
    x, y = sample(5, 3, seed=0), sample(5, 3, seed=1)
    h = median_bandwidth(x, y)
    # vectors of a place lie far from those of another in one more direction
    place = 1e4 * torch.arange(5, dtype=torch.float64)[:, None]
    joint = mmd(torch.cat([x, place], 1), torch.cat([y, place], 1), None, h)
    torch.testing.assert_close(paired_mmd(x, y, h).mean() / 5, joint)
    a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: paired_mmd(a, b, h), (a, b))
    with pytest.raises(ValueError, match=r'rows \(4, 3\).*rows \(5, 3\)'):
        paired_mmd(x, y[:4], h)
