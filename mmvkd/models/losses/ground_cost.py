"""What it costs to move probability from one class to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
from torch import Tensor

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


def prototype_cost(
    weights: Union[Tensor, Sequence[Tensor]], metric: str = 'euclidean'
) -> Tensor:
    r"""Ground cost from the distances between the teachers' class prototypes.

    .. math:: D_{ij} \propto \sum_k \|\hat w^k_i - \hat w^k_j\|
              \quad\text{or}\quad \sum_k (1 - \hat w^k_i\cdot\hat w^k_j)

    with :math:`\hat w^k_i` row :math:`i` of teacher :math:`k`'s classifier at
    length one, scaled so that the largest cost is 1. Both metrics are
    conditionally negative definite, and so is their sum. Our reading of
    arXiv 1804.10069, which leaves the ground cost open.

    Args:
        weights: Classifier weight ``(M, D)`` of one teacher, or one weight for
            each of several, of equal M and any D.
        metric: ``'euclidean'`` or ``'cosine'``.

    Returns:
        Symmetric costs in [0, 1], zero on the diagonal, ``(M, M)`` in float64.

    Raises:
        ValueError: if the metric is unknown, class counts differ, a row is zero
            or not finite, or all prototypes coincide.
    """
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {METRICS}, got {metric!r}')
    if isinstance(weights, Tensor):
        weights = [weights]
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


def binary_cost(num_classes: int, device: Optional[torch.device] = None) -> Tensor:
    """Ground cost 0 for staying and 1 for any move, ``(M, M)``."""
    return 1 - torch.eye(num_classes, device=device)


def check_conditionally_negative_definite(cost: Tensor, tol: float = 1e-6) -> None:
    r"""Raise unless a debiased divergence with this ground cost is never negative.

    .. math:: \lambda_{\max}(J D J) \le \mathrm{tol}\cdot\max|D|,\quad
              J = I - \tfrac1M\mathbf 1\mathbf 1^\top

    Euclidean distances, their squares (so the cosine distance) and sums of these
    pass; a shortest path through a graph in general does not.

    Args:
        cost: Ground cost, ``(M, M)``.
        tol: Slack for rounding, relative to the largest cost.

    Raises:
        ValueError: if the cost is not square, finite, symmetric, non-negative
            and zero on the diagonal, or the eigenvalue above exceeds the slack.
    """
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1]:
        raise ValueError(f'ground cost must be (M, M), got {tuple(cost.shape)}')
    d = cost.detach().double().cpu()
    if not d.isfinite().all():
        raise ValueError('ground cost has entries that are not finite')
    slack = tol * float(d.abs().max())
    asymmetry = float((d - d.T).abs().max())
    if asymmetry > slack:
        raise ValueError(f'ground cost must be symmetric, is off by {asymmetry:.3g}')
    if float(d.min()) < -slack:
        raise ValueError(f'ground cost must not be negative, has {float(d.min()):.3g}')
    diagonal = float(d.diagonal().abs().max())
    if diagonal > slack:
        raise ValueError(f'ground cost must be 0 on the diagonal, has {diagonal:.3g}')
    centered = d - d.mean(dim=0, keepdim=True)
    centered = centered - centered.mean(dim=1, keepdim=True)
    eigenvalue = float(torch.linalg.eigvalsh(0.5 * (centered + centered.T))[-1])
    if eigenvalue > slack:
        raise ValueError(
            f'ground cost must be conditionally negative definite, but has the '
            f'eigenvalue {eigenvalue:.3g} > {slack:.3g} on vectors of sum zero'
        )
