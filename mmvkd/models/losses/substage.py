"""Losses that compare how corresponding substages correlate."""

from __future__ import annotations

import torch
from torch import Tensor

from .numerics import check_same_shape, full_precision
from .relation import correlation_distance


def pearson_distance(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Correlate each channel with the teacher's (after arXiv 2307.05201; our reading).

    .. math:: L_n = \frac1C \sum_c 1 - \rho(x^S_{nc}, x^T_{nc})

    over the positions of a clip. Unchanged by a shift and a positive scale of each
    channel in each clip. A teacher channel that is constant in a clip has no
    correlation: it adds ½ or 0, and no gradient.

    Args:
        student: Feature :math:`x^S`, ``(N, C, T, H, W)``, after a connector.
        teacher: Feature :math:`x^T`, of the same shape.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 2.

    Raises:
        ValueError: if the shapes differ, or there is only one position.
    """
    check_same_shape(student, teacher, 'feature', ndim=5)
    _check_positions(teacher)
    return correlation_distance(student.flatten(2), teacher.flatten(2)).mean(dim=1)


def _check_positions(x: Tensor) -> None:
    if x.shape[2:].numel() < 2:
        raise ValueError(
            f'features {tuple(x.shape)} have one position, and nothing to correlate '
            "over positions; keep more (pool='space' of a cached teacher), or compare "
            "clips (correlation='cka')"
        )


def _unit_gram(rows: Tensor, scale: Tensor) -> Tensor:
    """Inner products of rows, scaled to norm one where they exceed rounding noise."""
    with torch.autocast(rows.device.type, enabled=False):
        gram = rows @ rows.transpose(-2, -1)
    # relative, as in correlation_distance: what lies below is rounding noise
    floor = (1e-6 * scale).square() + torch.finfo(gram.dtype).tiny
    square = gram.square().sum(dim=(-2, -1), keepdim=True)
    return gram / (square + floor).sqrt()


def cka_distance(student: Tensor, teacher: Tensor) -> Tensor:
    r"""One minus linear CKA among clips (arXiv 1905.00414).

    .. math:: L = 1 - \frac{\langle K^S, K^T\rangle}{\|K^S\|\,\|K^T\|}
              = \tfrac12\Big\|\frac{K^S}{\|K^S\|} - \frac{K^T}{\|K^T\|}\Big\|^2,\quad
              K = \bar X \bar X^\top

    with the clips as rows of :math:`X`, centered over the clips, which must be the
    global batch. Sizes and channels may differ. Unchanged by rotations, shifts and
    scales of either side. One clip gives 0, and so do any two, because two rows have
    only one relation.

    Args:
        student: ``(N, ...)``, of the global batch.
        teacher: ``(N, ...)``, likewise.

    Returns:
        A scalar between 0 and 1.

    Raises:
        ValueError: if the numbers of clips differ.
    """
    if student.shape[0] != teacher.shape[0]:
        raise ValueError(
            f'student feature {tuple(student.shape)} and teacher feature '
            f'{tuple(teacher.shape)} must have equally many clips'
        )
    units = []
    for x in (student, teacher):
        rows = full_precision(x).flatten(1)
        centered = rows - rows.mean(dim=0, keepdim=True)
        units.append(_unit_gram(centered, rows.square().sum()))
    return 0.5 * (units[0] - units[1]).square().sum()


def gram_distance(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Compare which positions of a clip look alike (after arXiv 2307.05201; ours).

    .. math:: L_n = \tfrac12\Big\|\frac{G^S_n}{\|G^S_n\|}
              - \frac{G^T_n}{\|G^T_n\|}\Big\|^2 = 1 - \cos(G^S_n, G^T_n)

    with :math:`G_n` the inner products of the channel vectors at all pairs of the
    :math:`P=THW` positions: :math:`P^2` numbers, so pool large maps first. Channels
    may differ. Unchanged by rotations of the channels and a scale of each clip.

    Args:
        student: Feature, ``(N, C, T, H, W)``.
        teacher: Feature, ``(N, C', T, H, W)``.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 1.

    Raises:
        ValueError: if clips or positions differ, or there is only one position.
    """
    check_same_shape(student[:, :1], teacher[:, :1], 'positions', ndim=5)
    _check_positions(teacher)
    units = []
    for x in (student, teacher):
        rows = full_precision(x).flatten(2).transpose(1, 2)
        units.append(_unit_gram(rows, rows.square().sum(dim=(1, 2), keepdim=True)))
    return 0.5 * (units[0] - units[1]).square().sum(dim=(1, 2))
