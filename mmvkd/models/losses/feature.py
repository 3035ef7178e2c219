"""Losses that compare features position by position."""

from __future__ import annotations

from torch import Tensor

from .numerics import check_same_shape, full_precision


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of two features (FitNets, arXiv 1412.6550).

    .. math:: L_n = \frac{1}{CTHW}\,\|x^S_n - x^T_n\|^2

    Args:
        student: Feature :math:`x^S`, ``(N, C, T, H, W)``, after a connector.
        teacher: Feature :math:`x^T`, of the same shape.

    Returns:
        Loss of each clip, ``(N,)``; the caller takes the mean over the global
        batch.

    Raises:
        ValueError: if the shapes differ.
    """
    check_same_shape(student, teacher, 'feature', ndim=5)
    difference = full_precision(student) - full_precision(teacher)
    return difference.square().flatten(1).mean(dim=1)
