"""How far the distributions of two features lie apart, channel by channel."""

from __future__ import annotations

from typing import Callable, Optional

from torch import Tensor

from .numerics import check_same_shape, full_precision

Moments = tuple[Tensor, Tensor]
"""Mean and variance of each channel, ``(C,)`` each."""


def channel_moments(
    feature: Tensor, average: Optional[Callable[[Tensor], Tensor]] = None
) -> Moments:
    """Mean and variance of each channel over clips and positions.

    The variance is taken about the mean of the global batch, in a second pass: the
    difference of mean square and squared mean loses digits where means are large.

    Args:
        feature: ``(N, C, T, H, W)``.
        average: Gives the mean of a ``(C,)`` vector over all processes, which hold
            equally many clips; None for one process.

    Returns:
        Mean and variance, ``(C,)`` each, in float32 at least.

    Raises:
        ValueError: if ``feature`` does not have 5 axes.
    """
    if feature.ndim != 5:
        raise ValueError(f'a feature is (N, C, T, H, W), got {tuple(feature.shape)}')
    feature = full_precision(feature)
    mean = feature.mean(dim=(0, 2, 3, 4))
    if average is not None:
        mean = average(mean)
    deviation = feature - mean[:, None, None, None]
    variance = deviation.square().mean(dim=(0, 2, 3, 4))
    return mean, variance if average is None else average(variance)


def gaussian_distance(student: Moments, teacher: Moments, eps: float = 1e-2) -> Tensor:
    r"""Squared 2-Wasserstein distance of Gaussians (after arXiv 2307.05201; ours).

    .. math:: d = \frac1C \sum_c \frac{(\mu^S_c-\mu^T_c)^2 + (\sigma^S_c-\sigma^T_c)^2}
              {(\sigma^T_c)^2},\quad \sigma^2 = \mathrm{var} + \epsilon'

    Division by the teacher's variance keeps wide and narrow, loud and quiet stages
    comparable. :math:`\epsilon'` is :math:`\epsilon` times the mean of the teacher's
    variances, so that a channel that the teacher never uses does not outweigh all
    others, and d is unchanged by a common scale of both sides and by shifts of both.

    Args:
        student: Moments :math:`\mu^S, \mathrm{var}^S`; see :func:`channel_moments`.
        teacher: Likewise.
        eps: :math:`\epsilon`.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: if the channels differ.
    """
    check_same_shape(student[0], teacher[0], 'means', ndim=1)
    floor = eps * teacher[1].mean() + 1e-8
    scale = teacher[1] + floor
    means = (student[0] - teacher[0]).square()
    deviations = ((student[1] + floor).sqrt() - scale.sqrt()).square()
    return ((means + deviations) / scale).mean()
