from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.spatial.distance
import scipy.stats
import torch

from mmvkd.models.losses import (
    frequency_energy,
    jensen_shannon,
    kernel_spectrum,
    quantile_distance,
    quantiles,
)


def kernels(shape=(40, 3, 3), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def energy(student, teacher):
    return jensen_shannon(
        *(frequency_energy(kernel_spectrum(x)) for x in (student, teacher))
    )


def quantile(student, teacher):
    return quantile_distance(
        *(quantiles(kernel_spectrum(x)) for x in (student, teacher))
    )


every_loss = pytest.mark.parametrize('loss', [energy, quantile])


# Against other implementations


@pytest.mark.parametrize('shape', [(5, 3, 3), (2, 7, 7), (4, 3, 3, 3), (3, 5, 3, 3)])
def test_the_spectrum_of_kernels_is_that_of_scipy(shape):
    x = kernels(shape)
    axes = tuple(range(1, len(shape)))
    expected = scipy.fft.dctn(x.numpy(), type=2, norm='ortho', axes=axes)

    result = kernel_spectrum(x)

    np.testing.assert_allclose(result.numpy(), expected.reshape(len(x), -1), atol=1e-12)


def test_the_divergence_is_the_square_of_scipys_distance():
    p, q = (kernels((9, 1, 1), seed).flatten().softmax(0) for seed in (0, 1))
    expected = scipy.spatial.distance.jensenshannon(p, q) ** 2

    assert jensen_shannon(p, q).item() == pytest.approx(expected, abs=1e-7)


def test_distributions_without_overlap_are_log_two_apart():
    p, q = torch.eye(9, dtype=torch.float64)[:2]

    assert jensen_shannon(p, q).item() == pytest.approx(np.log(2), abs=1e-6)


@pytest.mark.parametrize('filters', [1, 7, 256, 1000])
def test_quantiles_are_those_of_numpy_in_units_of_the_rms(filters):
    x = kernels((filters, 3, 3)).flatten(1)
    levels = (np.arange(256) + 0.5) / 256
    expected = np.quantile(x.numpy(), levels, axis=0) / np.sqrt(np.mean(x.numpy() ** 2))

    np.testing.assert_allclose(quantiles(x).numpy(), expected, atol=1e-10)


def test_the_quantile_distance_is_near_the_transport_cost_of_all_coefficients():
    student, teacher = kernels((512, 3, 3)), kernels((512, 3, 3), 1).sign()
    both = [kernel_spectrum(x) for x in (student, teacher)]
    ordered = [x.sort(0).values / x.square().mean().sqrt() for x in both]
    expected = (ordered[0] - ordered[1]).square().mean()

    assert quantile(student, teacher).item() == pytest.approx(expected.item(), rel=0.1)


# What they see


@every_loss
@pytest.mark.parametrize('scale', [1e-2, 30.0])
def test_the_scale_of_all_kernels_does_not_matter(loss, scale):
    student, teacher = kernels(), kernels(seed=1).cumsum(1)

    torch.testing.assert_close(loss(scale * student, teacher), loss(student, teacher))
    torch.testing.assert_close(loss(student, scale * teacher), loss(student, teacher))


@every_loss
def test_order_and_number_of_filters_do_not_matter(loss):
    teacher = kernels((300, 3, 3), seed=1)
    once = teacher[torch.randperm(300)]

    assert loss(once, teacher) < 1e-12
    assert loss(once.repeat(5, 1, 1), teacher) < 3e-3
    # so it is no distance of weights
    assert (once - teacher).square().mean() > 1


@every_loss
def test_smooth_kernels_are_unlike_rough_ones(loss):
    smooth, rough = kernels((4000, 3, 3)).cumsum(1), kernels((4000, 3, 3), 1)
    like = kernels((4000, 3, 3), 2)

    assert loss(smooth, rough) > 20 * loss(like, rough)


def test_quantiles_see_a_shape_that_energies_do_not():
    # kernels of signs have the energies of Gaussian ones
    signs, gauss = kernels((4000, 3, 3)).sign(), kernels((4000, 3, 3), 1)

    assert energy(signs, gauss) < 1e-3
    assert quantile(signs, gauss) > 20 * quantile(kernels((4000, 3, 3), 2), gauss)


# Gradients


@every_loss
def test_the_gradient_of_a_parameter_loss_agrees_with_finite_differences(loss):
    student, teacher = kernels((4, 3, 3)), kernels((6, 3, 3), 1)

    assert torch.autograd.gradcheck(
        lambda s: loss(s, teacher), (student.requires_grad_(),)
    )


@every_loss
def test_kernels_of_zero_have_a_finite_gradient(loss):
    student = torch.zeros(20, 3, 3, requires_grad=True)

    loss(student, kernels().float()).backward()

    assert student.grad.isfinite().all()


@pytest.mark.parametrize('shape', [(5, 9), (5, 2, 3, 3, 3)])
def test_what_is_no_filter_is_refused(shape):
    with pytest.raises(ValueError, match=r'\(F, k, k\) or \(F, t, k, k\), got'):
        kernel_spectrum(torch.zeros(shape))
