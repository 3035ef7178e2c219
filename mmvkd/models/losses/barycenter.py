"""The distribution that is nearest to several others at once."""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from .numerics import check_positive, full_precision
from .transport import CHECK_EVERY, default_epsilon, make_softmin, misplaced


class Barycenter(NamedTuple):
    """Barycenters and how well they converged, all per clip and on the device."""

    rows: Tensor
    """Probabilities, ``(N, M)``, without a graph."""
    error: Tensor
    """Largest L1 error of a marginal or of the last update, ``(N,)``."""
    iterations: Tensor
    """Updates until the error was small enough, ``(N,)``, int64."""


@torch.no_grad()
def sinkhorn_barycenter(
    vertices: Tensor,
    weight: Tensor,
    cost: Tensor,
    epsilon: Optional[float] = None,
    max_iter: int = 500,
    tol: float = 1e-4,
) -> Barycenter:
    r"""Solve for the debiased barycenter of K distributions, clip by clip.

    .. math:: \nu_n = \arg\min_\nu \sum_k a_{nk}\,S_\epsilon(p_{nk}, \nu)

    with :math:`S_\epsilon` of :func:`sinkhorn`. Without the debiasing even a single
    vertex would come out blurred. Starting from the weighted mean, each update is

    .. math:: \nu \leftarrow \nu\,\exp\Big(b - \sum_k a_k g_k\Big)

    with :math:`g_k` the potential of :math:`(p_k, \nu)` on the side of :math:`\nu` and
    :math:`b` that of :math:`(\nu, \nu)`, in units of :math:`\epsilon`, updated
    alongside. This is the iteration of arXiv 2006.02575 in the log domain, with
    simultaneous averaged updates (ours), so that a single vertex is its own barycenter
    to the last bit.

    Args:
        vertices: Probabilities :math:`p`, ``(N, K, M)``, exact zeros allowed. A class
            that is empty at every vertex stays empty.
        weight: :math:`a`, ``(N, K)``, not negative, rows sum to 1.
        cost: Ground cost, symmetric ``(M, M)``, conditionally negative definite.
        epsilon: Regularization in units of the cost; ``None`` takes
            :func:`default_epsilon`.
        max_iter: Maximum number of updates, rounded up to a multiple of 5.
        tol: Stop a clip at this error.

    Returns:
        The barycenter of each clip with its error and iteration count.

    Raises:
        ValueError: if shapes do not fit or a number is not above 0.
    """
    if vertices.ndim != 3 or weight.shape != vertices.shape[:2]:
        raise ValueError(
            f'weight {tuple(weight.shape)} must hold one number for each of the '
            f'vertices (N, K, M) {tuple(vertices.shape)}'
        )
    if cost.shape != 2 * vertices.shape[2:]:
        raise ValueError(
            f'ground cost {tuple(cost.shape)} does not fit {vertices.shape[2]} classes'
        )
    if epsilon is None:
        epsilon = default_epsilon(cost)
    check_positive(epsilon, 'epsilon')
    check_positive(max_iter, 'max_iter')
    check_positive(tol, 'tol')
    p, weight = full_precision(vertices), weight.to(full_precision(vertices))[..., None]
    max_iter = -(-max_iter // CHECK_EVERY) * CHECK_EVERY
    with torch.autocast(p.device.type, enabled=False):
        return _solve(p, weight, cost.to(p), epsilon, max_iter, tol)


def _solve(
    p: Tensor, weight: Tensor, cost: Tensor, epsilon: float, max_iter: int, tol: float
) -> Barycenter:
    """Update potentials (from 0) and barycenter (from the mean) side by side."""
    softmin = make_softmin(cost, epsilon)
    # [N, M]
    mean = (weight * p).sum(dim=1)
    log_p, log_mean = p.log(), mean.log()
    # at a class that stays empty the slope never vanishes
    filled = (mean > 0).to(p.dtype)
    # [N, K, M]
    f = g = torch.zeros_like(p)
    # [N, M]: the potential of the barycenter with itself, and its log ratio to the mean
    b = shift = torch.zeros_like(mean)
    iterations = torch.zeros(len(p), dtype=torch.long, device=p.device)
    moving = torch.ones_like(mean[:, :1])
    for step in range(0, max_iter + 1):
        log_nu = log_mean + shift
        next_f, next_g = softmin(g + log_nu[:, None]), softmin(f + log_p)
        next_b = softmin((b + log_nu)[:, None])[:, 0]
        if step % CHECK_EVERY == 0:
            # for a mean near float32's smallest numbers the whole factor may overflow
            half = (0.5 * shift).exp()
            nu = mean * half * half
            change = filled * (next_b - (weight * next_g).sum(dim=1))
            of_vertices = [
                misplaced(mass, old - new).amax(dim=1)
                for mass, old, new in ((p, f, next_f), (nu[:, None], g, next_g))
            ]
            of_nu = [misplaced(nu, by) for by in (change, b - next_b)]
            error = torch.stack(of_vertices + of_nu).amax(dim=0)
            moving = (error > tol).to(p.dtype)[:, None]
            # A clip without a finite error counts as done: more steps won't mend it.
            if step == max_iter or not bool(moving.any()):
                break
        # Averaged each time: with plain updates and a moving barycenter, errors grow.
        rate = 0.5 * moving
        f, g = f.lerp(next_f, rate[:, None]), g.lerp(next_g, rate[:, None])
        b = b.lerp(next_b, rate)
        shift = shift + moving * filled * (b - (weight * g).sum(dim=1))
        iterations += moving[:, 0].long()
    return Barycenter(nu, error, iterations)
