"""What it costs to move probability from one class to another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .numerics import check_known

METRICS = ('euclidean', 'cosine')


def _unit_rows(weight: Tensor, teacher: int) -> Tensor:
    weight = weight.detach().double()
    if weight.ndim != 2:
        raise ValueError(
            f'classifier weight {teacher} must be (classes, channels), got '
            f'{tuple(weight.shape)}'
        )
    norm = weight.norm(dim=1, keepdim=True)
    bad = ~((norm[:, 0] > 0) & norm[:, 0].isfinite())
    if bad.any():
        raise ValueError(
            f'row {int(bad.nonzero()[0])} of classifier weight {teacher} has norm '
            f'{float(norm[bad][0])}; a prototype needs a direction'
        )
    unit: Tensor = weight / norm
    return unit


def prototype_cost(weights: Sequence[Tensor], metric: str = 'euclidean') -> Tensor:
    r"""Ground cost from the distances between the teachers' class prototypes.

    .. math:: D_{ij} \propto \sum_k \|\hat w^k_i - \hat w^k_j\|
              \quad\text{or}\quad \sum_k (1 - \hat w^k_i\cdot\hat w^k_j)

    with :math:`\hat w^k_i` row :math:`i` of teacher :math:`k`'s classifier at
    length one, scaled so that the largest cost is 1. Both metrics are
    conditionally negative definite, and so is their sum. Our reading of
    arXiv 1804.10069, which leaves the ground cost open.

    Args:
        weights: Classifier weight ``(M, D)`` of each teacher, of equal M and any D.
        metric: ``'euclidean'`` or ``'cosine'``.

    Returns:
        Symmetric costs in [0, 1], zero on the diagonal, ``(M, M)`` in float64.

    Raises:
        ValueError: if the metric is unknown, class counts differ, a row is zero
            or not finite, or all prototypes coincide.
    """
    check_known('metric', metric, METRICS)
    counts = [len(weight) for weight in weights]
    if len(set(counts)) != 1:
        raise ValueError(f'classifiers must agree on the class count, got {counts}')
    rows = [_unit_rows(weight, teacher) for teacher, weight in enumerate(weights)]
    # Double precision: 1 - cos of near neighbors cancels.
    costs = [(1 - unit @ unit.T).clamp_min(0) for unit in rows]
    if metric == 'euclidean':
        costs = [(2 * cosine).sqrt() for cosine in costs]
    total = torch.stack(costs).sum(dim=0)
    total = (0.5 * (total + total.T)).fill_diagonal_(0)
    largest = float(total.max())
    if largest < 1e-6:
        raise ValueError(
            f'all {len(total)} class prototypes coincide, the largest distance is '
            f'{largest:.1e}'
        )
    return total / largest
