"""Losses that compare two samples as distributions."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from .numerics import check_same_shape, full_precision, nonnegative

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
# Smallest bandwidth, for when all rows are equal.
_SMALLEST = 1e-12


def _square_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all rows, (..., N, N)."""
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return squares - 2 * x @ y.mT


@torch.no_grad()
def median_bandwidth(x: Tensor, y: Tensor, weight: Optional[Tensor] = None) -> Tensor:
    r"""Median of the squared distances among the rows of both samples.

    .. math:: h = \mathrm{median}_{a\ne b}\,\|z_a-z_b\|^2,\quad
              z = (x_1,\dots,x_N,y_1,\dots,y_N)

    the lower one of an even number; without gradient. For samples of a single row it is
    the distance of the two, so a discrepancy in these units is the same however far
    apart they are.

    Args:
        x: Sample, ``(..., N, D)``.
        y: Sample, likewise.
        weight: Rows of weight 0 are left out, ``(N,)``.

    Returns:
        The bandwidth of each pair of samples, ``(...)``.
    """
    z = full_precision(torch.cat([x, y], dim=-2))
    rows = z.shape[-2]
    with torch.autocast(z.device.type, enabled=False):
        squares = _square_distances(z, z)
    # what does not count is sorted to the end
    squares.diagonal(dim1=-2, dim2=-1).fill_(float('inf'))
    if weight is None:
        middle = max(rows * (rows - 1) - 1, 0) // 2
        return squares.flatten(-2).sort(dim=-1).values[..., middle].clamp_min(_SMALLEST)
    used = (weight > 0).repeat(2)
    squares = squares.masked_fill(~(used[:, None] & used), float('inf'))
    count = used.sum()
    places = (count * (count - 1) - 1).clamp_min(0)[None] // 2
    ordered = squares.flatten(-2).sort(dim=-1).values
    return ordered.index_select(-1, places).squeeze(-1).clamp_min(_SMALLEST)


def _mixture(square: Tensor) -> Tensor:
    """Mean of the Gaussian kernels, for squared distances in units of the bandwidth."""
    factors = torch.tensor([-0.5 / scale for scale in SCALES], dtype=square.dtype)
    # non-blocking: the host goes on while they are copied
    factors = factors.to(square.device, non_blocking=True)
    return (square[..., None] * factors).exp().mean(-1)


def paired_mmd(x: Tensor, y: Tensor, bandwidth: Tensor) -> Tensor:
    r"""What each pair of rows adds to the discrepancy of joint distributions.

    .. math:: d_a = 2 - 2\,\kappa(x_a, y_a)

    :func:`mmd` ignores the order of the rows. With the kernel
    :math:`\kappa(u,v)\,[a=b]`, for the joint distribution of a vector and the place it
    is from, only rows of the same place are compared, and N times the discrepancy is
    the mean of :math:`d_a`. Zero with exactly zero gradient where the rows agree; never
    negative, and at most 2. Our reading, as is :func:`mmd`.

    Args:
        x: Teacher's rows, ``(..., D)``.
        y: Student's rows, of the same shape.
        bandwidth: :math:`h`, which broadcasts against the rows ``(...)``.

    Returns:
        One value for each row, ``(...)``.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(y, x, 'rows', x.ndim)
    x, y = full_precision(x), full_precision(y)
    return 2 - 2 * _mixture((x - y).square().sum(-1) / bandwidth)


def mmd(
    x: Tensor,
    y: Tensor,
    weight: Optional[Tensor] = None,
    bandwidth: Optional[Tensor] = None,
) -> Tensor:
    r"""Squared maximum mean discrepancy of two samples, with Gaussian kernels.

    .. math:: \mathrm{MMD}^2 = \sum_{ab} w_a w_b\,\big(\kappa(x_a,x_b) +
              \kappa(y_a,y_b) - 2\kappa(x_a,y_b)\big),\quad
              \kappa(u,v) = \frac1S\sum_s \exp\Big(-\frac{\|u-v\|^2}{2\,s\,h}\Big)

    with weights that sum to 1 and the S scales of :data:`SCALES`. This is the biased
    V-statistic, a squared norm and so never negative; the unbiased one can be, near
    zero. Zero with exactly zero gradient where the two samples agree row by row.
    Unchanged by the order of rows, and by shifts, rotations and scales of both samples
    together. After arXiv 1804.10069, which names the discrepancy; the mixture of
    kernels and the median bandwidth are our reading.

    Args:
        x: Teacher's sample, ``(..., N, D)``; a row for each clip of the global batch.
        y: Student's sample, of the same shape.
        weight: :math:`w` up to a factor, ``(N,)``; all equal if None.
        bandwidth: :math:`h`, ``(...)``; None takes :func:`median_bandwidth`, which is
            not differentiated.

    Returns:
        One value for each pair of samples, ``(...)``.

    Raises:
        ValueError: if the shapes differ.
    """
    if x.shape != y.shape or x.ndim < 2:
        raise ValueError(
            f'student sample {tuple(y.shape)} and teacher sample {tuple(x.shape)} must '
            'have the same shape with 2 axes or more'
        )
    clips = x.shape[-2]
    if weight is not None and weight.shape != (clips,):
        raise ValueError(
            f'weight {tuple(weight.shape)} must hold one number for each of the '
            f'{clips} clips'
        )
    x, y = full_precision(x), full_precision(y)
    w = x.new_ones(clips) if weight is None else weight.to(x)
    w = w / w.sum()
    # distances lose less to rounding near the origin
    center = (0.5 * (w[:, None] * (x + y)).sum(-2, keepdim=True)).detach()
    x, y = x - center, y - center
    with torch.autocast(x.device.type, enabled=False):
        h = median_bandwidth(x, y, weight) if bandwidth is None else bandwidth

        def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
            """Differentiated in ``b`` alone, through an autograd node of its own."""
            square = _square_distances(a.detach(), b.clone()) / h[..., None, None]
            return (w[:, None] * w * _mixture(square)).sum((-2, -1))

        # Kernels are symmetric, so this has half of the gradient. In this form, its two
        # parts cancel to the last bit where the samples agree.
        half = mean_kernel(x, x) - mean_kernel(y, x)
        half = half + mean_kernel(y, y) - mean_kernel(x, y)
    return nonnegative(2 * half - half.detach())
