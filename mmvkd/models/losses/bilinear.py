"""Compact bilinear pooling: the products of two features, in one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from .numerics import check_positive, full_precision

# Entries of the largest sketch held at a time; more on a GPU, where a kernel launch
# costs more than a cache miss.
CHUNK_ENTRIES = 2**20
_CHUNK_ENTRIES_ON_GPU = 2**22
# Entries of a unit vector below this count as zero, which bounds the gradient of the
# root, and of a vector of zeros.
_EPS = 1e-6


class Sketch(NamedTuple):
    """Where each channel goes in a count sketch, and with which sign."""

    place: Tensor
    """Place of each channel in [0, D), ``(C,)``, int64."""
    sign: Tensor
    """−1 or 1 for each channel, ``(C,)``."""


def draw_sketch(
    channels: int, dim: int, generator: Optional[torch.Generator] = None
) -> Sketch:
    """Draw a sketch of ``channels`` in ``dim`` places uniformly at random."""
    check_positive(channels, 'channels')
    check_positive(dim, 'dim')
    place = torch.randint(dim, (channels,), generator=generator)
    sign = 2.0 * torch.randint(2, (channels,), generator=generator) - 1
    return Sketch(place, sign)


def count_sketch(x: Tensor, sketch: Sketch, dim: int) -> Tensor:
    r"""Add up signed channels that share a place (arXiv 1511.06062).

    .. math:: \psi(x)_i = \sum_{c:\,h(c)=i} s(c)\,x_c

    Args:
        x: Values, ``(N, C, P)``.
        sketch: Sketch of C channels.
        dim: D.

    Returns:
        The sketch at each position, ``(N, D, P)``.
    """
    # places contiguous in memory, for this sum and for the transform that follows
    x = x.transpose(1, 2)
    empty = x.new_zeros(*x.shape[:2], dim)
    summed = empty.index_add(2, sketch.place, x * sketch.sign.to(x))
    return summed.transpose(1, 2)


def bilinear_sketch(
    features: Sequence[Tensor],
    sketches: Sequence[Sketch],
    pairs: Sequence[tuple[int, int]],
    dim: int,
) -> Tensor:
    r"""Sketch the sum over positions of outer products, for several pairs at once.

    .. math:: t_{ij} = \sum_p \psi_i(x_{ip}) * \psi_j(x_{jp})
              = \mathrm{FFT}^{-1}\Big(\sum_p \mathrm{FFT}\,\psi_i(x_{ip})\cdot
              \mathrm{FFT}\,\psi_j(x_{jp})\Big)

    with :math:`*` a circular convolution. This is the count sketch of
    :math:`\sum_p x_{ip}\otimes x_{jp}` (arXiv 1511.06062): the inner product of two
    results is in expectation that of the outer products. Each feature is transformed
    once, however many pairs it is in, and each pair is transformed back once. Computed
    in float32 (float64 for float64 features), a few positions at a time.

    Args:
        features: :math:`x_i`, each ``(N, C_i, P)`` with the same N and P.
        sketches: :math:`\psi_i` of each feature, independent of one another.
        pairs: Indices :math:`(i, j)` of the features.
        dim: D of the sketches.

    Returns:
        One vector for each clip and pair, ``(N, E, D)``.

    Raises:
        ValueError: if the features differ in clips or positions.
    """
    sizes = {(len(x), *x.shape[2:]) for x in features}
    if len(sizes) != 1 or features[0].ndim != 3:
        shapes = ', '.join(str(tuple(x.shape)) for x in features)
        raise ValueError(
            f'features must be (N, C, P) of equal clips N and positions P, got {shapes}'
        )
    clips, positions = len(features[0]), features[0].shape[2]
    entries = _CHUNK_ENTRIES_ON_GPU if features[0].is_cuda else CHUNK_ENTRIES
    size = max(1, entries // (dim * max(1, clips)))
    totals: list[Tensor] = []
    for start in range(0, positions, size):
        # [N, D / 2 + 1, P'] each
        spectra = [
            torch.fft.rfft(
                count_sketch(full_precision(x[..., start : start + size]), sketch, dim),
                dim=1,
            )
            for x, sketch in zip(features, sketches)
        ]
        # [N, D / 2 + 1] each
        products = [(spectra[i] * spectra[j]).sum(-1) for i, j in pairs]
        totals = [t + p for t, p in zip(totals, products)] if totals else products
    return torch.fft.irfft(torch.stack(totals, dim=1), n=dim)


def unit_length(x: Tensor) -> Tensor:
    """Scale the last axis to length one; zeros stay, with a finite gradient."""
    x = full_precision(x)
    return x / (x.square().sum(-1, keepdim=True) + _EPS**2).sqrt()


def signed_root(x: Tensor) -> Tensor:
    r"""Scale the last axis to length one, take signed roots, and scale again.

    .. math:: r = \nu\big(\mathrm{sign}(u)\sqrt{|u|}\big),\quad u=\nu(x),\quad
              \nu(x) = x / \|x\|

    Unchanged by a positive scale of a row. The first scaling, ours, sets what is small:
    below :math:`10^{-6}` the root is linear, so its gradient at 0 is finite.

    Args:
        x: Values, ``(..., D)``.

    Returns:
        Rows of length one, ``(..., D)``; a row of zeros stays zero.
    """
    u = unit_length(x)
    return unit_length(u * (u.square() + _EPS**2).pow(-0.25))
