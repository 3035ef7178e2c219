"""Losses that compare relations among classes and among clips."""

from __future__ import annotations

import torch
from torch import Tensor

from .numerics import check_positive, check_same_shape, full_precision


def _unit_deviation(x: Tensor, dim: int, eps: float) -> Tensor:
    """Deviation from the mean along one axis, scaled to length one."""
    deviation = x - x.mean(dim=dim, keepdim=True)
    # The floor follows the size of x, not its spread: what lies below is rounding
    # noise, which dividing by it would amplify.
    floor = eps**2 * x.square().sum(dim=dim, keepdim=True)
    square = deviation.square().sum(dim=dim, keepdim=True) + floor
    return deviation / (square + torch.finfo(x.dtype).tiny).sqrt()


def correlation_distance(
    x: Tensor, y: Tensor, dim: int = -1, eps: float = 1e-4
) -> Tensor:
    r"""One minus the Pearson correlation along an axis.

    .. math:: d = 1 - \rho(x, y) = \tfrac12\,\|u_x - u_y\|^2,\quad
              u_x = (x-\bar x)/\|x-\bar x\|

    The second form, which is the one computed, is exactly 0 with exactly zero
    gradient at :math:`x=y`, and never negative. The norm is bounded from below by
    :math:`\epsilon\|x\|`, so a constant :math:`x` has :math:`u_x=0` and a finite
    gradient; elsewhere the result is off by about
    :math:`\tfrac12(\epsilon\,\|x\|/\|x-\bar x\|)^2`.

    Args:
        x: Values of any shape.
        y: Values of the same shape.
        dim: The axis to correlate along.
        eps: :math:`\epsilon`, relative.

    Returns:
        Distances between 0 and 2, the shape of ``x`` without ``dim``.
    """
    x, y = full_precision(x), full_precision(y)
    difference = _unit_deviation(x, dim, eps) - _unit_deviation(y, dim, eps)
    return 0.5 * difference.square().sum(dim=dim)


def _soften(
    student: Tensor, teacher: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    check_same_shape(student, teacher, 'logits', ndim=2)
    check_positive(temperature, 'temperature')
    student, teacher = full_precision(student), full_precision(teacher)
    return (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)


def dist_inter(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Match the relation among classes within each clip (DIST, arXiv 2205.10536).

    .. math:: L_n = 1 - \rho(q_{n\cdot}, p_{n\cdot}),\quad
              q=\mathrm{softmax}(z^S/\tau),\ p=\mathrm{softmax}(z^T/\tau)

    Unchanged by affine maps of a clip's probabilities with positive slope (to
    the epsilon of :func:`correlation_distance`). There is no factor
    :math:`\tau^2`: the weight of the term may carry it.

    Args:
        student: Logits :math:`z^S`, ``(N, M)``.
        teacher: Logits :math:`z^T`, ``(N, M)``.
        temperature: :math:`\tau`, above 0.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 2; the caller takes the mean
        over the global batch.

    Raises:
        ValueError: if the shapes differ or the temperature is not above 0.
    """
    q, p = _soften(student, teacher, temperature)
    return correlation_distance(q, p, dim=1)


def dist_intra(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Match the relation among clips within each class (DIST, arXiv 2205.10536).

    .. math:: L_m = 1 - \rho(q_{\cdot m}, p_{\cdot m})

    with the correlation over the clips, which must be the global batch: with
    several processes, gather the logits first. Unchanged by affine maps of
    a class's probabilities with positive slope. One clip alone gives 0.

    Args:
        student: Logits of the global batch, ``(N, M)``.
        teacher: Logits of the global batch, ``(N, M)``.
        temperature: :math:`\tau`, above 0.

    Returns:
        Loss of each class, ``(M,)``, between 0 and 2; its mean is the term.

    Raises:
        ValueError: if the shapes differ or the temperature is not above 0.
    """
    q, p = _soften(student, teacher, temperature)
    return correlation_distance(q, p, dim=0)
