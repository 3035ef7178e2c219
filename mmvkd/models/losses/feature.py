"""Losses that compare features position by position."""

from __future__ import annotations

from typing import Optional

from torch import Tensor

from .numerics import check_known, check_same_shape, full_precision

NORMALIZATIONS = (None, 'standardize', 'l2')


def _normalize(x: Tensor, normalize: Optional[str], eps: float) -> Tensor:
    if normalize == 'standardize':
        x = x - x.mean(dim=(2, 3, 4), keepdim=True)
        return x / (x.square().mean(dim=(2, 3, 4), keepdim=True) + eps).sqrt()
    if normalize == 'l2':
        return x / (x.square().mean(dim=1, keepdim=True) + eps).sqrt()
    return x


def feature_mse(
    student: Tensor,
    teacher: Tensor,
    normalize: Optional[str] = None,
    eps: float = 1e-6,
) -> Tensor:
    r"""Mean squared difference of two features (after FitNets, arXiv 1412.6550).

    .. math:: L_n = \frac{1}{CTHW}\,\|\nu(x^S_n) - \nu(x^T_n)\|^2

    The normalizations :math:`\nu` are ours, per clip so that they do not depend
    on the rest of the batch: ``None`` leaves features as they are;
    ``'standardize'`` gives each channel mean 0 and variance 1 over its
    positions, so the loss is unchanged by a shift and a positive scale of each
    channel; ``'l2'`` scales the channel vector at each position to a root mean
    square of 1, so the loss is 2 - 2 cos averaged over positions, unchanged by a
    positive scale of each position.

    Args:
        student: Feature :math:`x^S`, ``(N, C, T, H, W)``, after a connector.
        teacher: Feature :math:`x^T`, of the same shape.
        normalize: ``None``, ``'standardize'`` or ``'l2'``.
        eps: Added to variances and mean squares inside the root.

    Returns:
        Loss of each clip, ``(N,)``; the caller takes the mean over the global
        batch.

    Raises:
        ValueError: if the shapes differ, ``normalize`` is unknown, or one
            position per channel is to be standardized, which leaves nothing.
    """
    check_same_shape(student, teacher, 'feature', ndim=5)
    check_known('normalize', normalize, NORMALIZATIONS)
    if normalize == 'standardize' and student.shape[2:].numel() < 2:
        raise ValueError(
            f"normalize='standardize' needs 2 positions or more per channel, got a "
            f'feature {tuple(student.shape)}'
        )
    student, teacher = full_precision(student), full_precision(teacher)
    difference = _normalize(student, normalize, eps) - _normalize(
        teacher, normalize, eps
    )
    return difference.square().flatten(1).mean(dim=1)
