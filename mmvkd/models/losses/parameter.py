"""Losses that compare how kernels spread over spatial frequencies."""

from __future__ import annotations

from functools import reduce
from typing import Optional

import torch
from torch import Tensor

from .numerics import check_same_shape, full_precision, nonnegative

# Mean square that is negligible next to any kernel's.
_SILENCE = 1e-12


def dct_basis(size: int, device: Optional[torch.device] = None) -> Tensor:
    r"""Orthonormal DCT-II, in float64.

    .. math:: D_{fx} = \sqrt{\tfrac{2 - [f=0]}{k}}\,
              \cos\left(\tfrac{\pi}{k} f (x + \tfrac12)\right)

    Args:
        size: k.
        device: Where it is used.

    Returns:
        Rows f, columns x: ``(k, k)``.
    """
    x = torch.arange(size, device=device, dtype=torch.float64)
    basis = (2 / size) ** 0.5 * torch.cos(torch.pi / size * x[:, None] * (x + 0.5))
    basis[0] *= 0.5**0.5
    return basis


def kernel_spectrum(kernels: Tensor) -> Tensor:
    r"""DCT of each filter along all its axes, in two or three dimensions.

    Args:
        kernels: Filters, ``(F, k, k)`` or ``(F, t, k, k)``: one for each pair of
            channels that a convolution connects.

    Returns:
        Coefficients, ``(F, k²)`` or ``(F, t·k²)``, the filter's (scaled) mean first.

    Raises:
        ValueError: if they have another number of axes.
    """
    if kernels.ndim not in (3, 4):
        raise ValueError(
            f'filters must be (F, k, k) or (F, t, k, k), got {tuple(kernels.shape)}'
        )
    kernels = full_precision(kernels)
    axes = [dct_basis(size, kernels.device) for size in kernels.shape[1:]]
    basis = reduce(torch.kron, axes).to(kernels.dtype)
    # autocast would compute the product in half precision
    with torch.autocast(kernels.device.type, enabled=False):
        return kernels.flatten(1) @ basis.T


def frequency_energy(coefficients: Tensor) -> Tensor:
    r"""Share of each frequency in the energy of all filters.

    .. math:: p_f \propto \sum_i c_{if}^2

    Unchanged by a scale of all kernels, which normalization layers undo anyway.

    Args:
        coefficients: ``(F, B)``.

    Returns:
        Shares that sum to 1, ``(B,)``.
    """
    energy = full_precision(coefficients).square().mean(dim=0)
    return (energy + _SILENCE) / (energy + _SILENCE).sum()


def jensen_shannon(p: Tensor, q: Tensor, eps: float = 1e-8) -> Tensor:
    r"""Jensen–Shannon divergence of two distributions.

    .. math:: JS = \tfrac12\,KL(p\,\|\,m) + \tfrac12\,KL(q\,\|\,m),\quad m = (p+q)/2

    Args:
        p: Probabilities, ``(B,)``.
        q: Likewise.
        eps: Added to each, for the logarithm.

    Returns:
        A scalar between 0 and log 2.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(p, q, 'distribution', ndim=1)
    p, q = full_precision(p) + eps, full_precision(q) + eps
    log_m = (0.5 * (p + q)).log()
    divergence = 0.5 * (p * (p.log() - log_m) + q * (q.log() - log_m)).sum()
    return nonnegative(divergence)


def quantiles(coefficients: Tensor, count: int = 256) -> Tensor:
    r"""Quantiles of each frequency's coefficients, in units of their common RMS.

    At the levels :math:`(j + \tfrac12)/Q`, interpolated linearly as NumPy does.

    Args:
        coefficients: ``(F, B)``.
        count: Q.

    Returns:
        ``(Q, B)``.
    """
    coefficients = full_precision(coefficients)
    scale = (coefficients.square().mean() + _SILENCE).sqrt()
    ordered = (coefficients / scale).sort(dim=0).values
    steps = torch.arange(count, device=ordered.device, dtype=torch.float64) + 0.5
    place = steps / count * (len(ordered) - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(len(ordered) - 1)
    part = (place - low).to(ordered.dtype)[:, None]
    return ordered[low].lerp(ordered[high], part)


def quantile_distance(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Squared 2-Wasserstein distance of each frequency's coefficients, averaged.

    .. math:: L = \frac1B\sum_f W_2^2(c^S_f, c^T_f) \approx
              \frac1{BQ}\sum_{fj}(Q^S_{jf} - Q^T_{jf})^2

    After arXiv 2009.06902; our reading. The numbers of filters may differ. Comparing
    the coefficients one by one would amount to comparing the weights.

    Args:
        student: From :func:`quantiles`, ``(Q, B)``.
        teacher: Likewise.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(student, teacher, 'quantiles', ndim=2)
    return (full_precision(student) - full_precision(teacher)).square().mean()
