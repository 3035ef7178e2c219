"""Optimal transport between the class distributions of teacher and student."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .numerics import check_positive, check_same_shape, full_precision, nonnegative

# Scores reach about twice max D / epsilon; above this, exponentials may leave float32.
KERNEL_LIMIT = 40.0
# Updates between two computations of the error.
CHECK_EVERY = 5
# Updates between two looks of the host at the errors on a GPU, for which it must wait:
# idle updates of converged clips cost less there.
_LOOK_EVERY_ON_GPU = 20
# Entries of the largest tensor that the log-sum-exp fallback may allocate.
CHUNK_ENTRIES = 2**22


class SinkhornResult(NamedTuple):
    """A divergence and how well it converged, all per clip and on the device."""

    divergence: Tensor
    """Debiased divergence, ``(N,)``, differentiable."""
    error: Tensor
    """Largest L1 marginal error of the three problems, ``(N,)``."""
    iterations: Tensor
    """Updates until the error was small enough, ``(N,)``, int64."""


def default_epsilon(cost: Tensor) -> float:
    """Return a fifth of the (lower) median off-diagonal ground cost.

    Less is closer to unregularized transport, and slower.

    Args:
        cost: Ground cost, ``(M, M)`` with M of 2 or more.

    Returns:
        The entropic regularization, in units of the cost.

    Raises:
        ValueError: if there is a single class.
    """
    if len(cost) < 2:
        raise ValueError(f'transport needs 2 classes or more, got {len(cost)}')
    off_diagonal = ~torch.eye(len(cost), dtype=torch.bool, device=cost.device)
    return 0.2 * float(cost[off_diagonal].median())


def _softmin_by_kernel(kernel: Tensor, scores: Tensor) -> Tensor:
    """``-log sum_j exp(scores_j - D_ij / eps)`` as one matrix product."""
    if scores.is_cuda and scores.ndim == 3:
        kernel = kernel.expand(len(scores), -1, -1)
    return -(scores.exp() @ kernel).log()


def _each(softmin: Callable[[Tensor], Tensor], scores: Tensor) -> Tensor:
    """``softmin`` of each block (B, N, M), so that equal blocks round alike."""
    if scores.is_cuda:
        # one batched product treats them alike, in a single launch
        return softmin(scores)
    # elsewhere rounding depends on how a block's memory is aligned
    return torch.stack([softmin(block.clone()) for block in scores])


def _softmin_by_chunks(scaled_cost: Tensor, scores: Tensor) -> Tensor:
    """The same as ``_softmin_by_kernel`` by logsumexp, in chunks, for tiny epsilon."""
    size = max(1, CHUNK_ENTRIES // max(1, scores.numel()))
    parts = [
        -(scores[..., None, :] - rows).logsumexp(dim=-1)
        for rows in torch.split(scaled_cost, size)
    ]
    return torch.cat(parts, dim=-1)


def make_softmin(cost: Tensor, epsilon: float) -> Callable[[Tensor], Tensor]:
    """Return the map from scores (..., M) to the next potentials (..., M)."""
    scaled = cost / epsilon
    if float(scaled.max()) > KERNEL_LIMIT:
        return partial(_softmin_by_chunks, scaled)
    return partial(_softmin_by_kernel, (-scaled).exp())


def misplaced(mass: Tensor, change: Tensor) -> Tensor:
    """L1 mass (...) that an update moves, from mass (..., M) and its log change."""
    # the change at an empty class is unbounded
    return torch.where(mass > 0, mass * change.expm1().abs(), 0).sum(dim=-1)


class _Solution(NamedTuple):
    value: Tensor
    grad_p: Tensor
    grad_q: Tensor
    error: Tensor
    iterations: Tensor


def _solve(
    p: Tensor, q: Tensor, cost: Tensor, epsilon: float, max_iter: int, tol: float
) -> _Solution:
    """Solve the three problems side by side for normalized rows.

    The potentials, in units of epsilon, are f and g of (p, q), a of (p, p) and
    b of (q, q), stacked in this order, [4, N, M]. All start at 0 and take the
    same updates: where p equals q they stay equal to the last bit, and so the
    gradient there is exactly 0.

    A plain simultaneous update converges fastest but flips the sign of the
    error along (1, 1), so every fifth update is averaged with its start, which
    removes just that. Clips that have converged are no longer updated, so the
    result of a clip does not depend on the others in its batch.
    """
    softmin = make_softmin(cost, epsilon)
    # the marginal of each potential, and the potential that its update is made from
    mass = torch.stack([p, q, p, q])
    source = torch.tensor([1, 0, 2, 3]).to(p.device, non_blocking=True)
    log_mass = mass[source].log()
    potentials = torch.zeros_like(mass)
    iterations = torch.zeros(len(p), dtype=torch.long, device=p.device)
    look = _LOOK_EVERY_ON_GPU if p.is_cuda else CHECK_EVERY
    for step in range(0, max_iter + 1):
        updated = _each(softmin, potentials[source] + log_mass)
        if step % CHECK_EVERY == 0:
            error = misplaced(mass, potentials - updated).amax(dim=0)
            moving = error > tol
            # A clip without a finite error counts as done: more steps won't mend it.
            due = (step + CHECK_EVERY) % look == 0
            if step == max_iter or (due and not bool(moving.any())):
                break
            iterations += CHECK_EVERY * moving
            rate = moving.to(p.dtype)[:, None]
        last = (step + 1) % CHECK_EVERY == 0
        potentials = potentials.lerp(updated, 0.5 * rate if last else rate)
    # <p, next_f> + <q, g> is the semi-dual at g, and second-order accurate; its
    # mean with its mirror image treats p and q alike.
    f, g, a, b = potentials + updated
    value = 0.5 * ((p * (f - a)).sum(dim=-1) + (q * (g - b)).sum(dim=-1))
    # The new potentials are right on empty classes too; the old ones need not be.
    next_f, next_g, next_a, next_b = updated
    return _Solution(
        epsilon * value,
        epsilon * (next_f - next_a),
        epsilon * (next_g - next_b),
        error,
        iterations,
    )


class _Sinkhorn(torch.autograd.Function):
    """The divergence of normalized rows, differentiated by the envelope theorem."""

    @staticmethod
    def forward(
        ctx: Any,
        p: Tensor,
        q: Tensor,
        cost: Tensor,
        epsilon: float,
        max_iter: int,
        tol: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mass_p, mass_q = p.sum(-1, keepdim=True), q.sum(-1, keepdim=True)
        p, q = p / mass_p, q / mass_q
        with torch.autocast(p.device.type, enabled=False):
            solution = _solve(p, q, cost, epsilon, max_iter, tol)
        # Through the normalization, which removes the constant up to which the
        # potentials are determined.
        grads = (
            (grad - (weight * grad).sum(-1, keepdim=True)) / mass
            for grad, weight, mass in (
                (solution.grad_p, p, mass_p),
                (solution.grad_q, q, mass_q),
            )
        )
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(solution.error, solution.iterations)
        return solution.value, solution.error, solution.iterations

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Optional[Tensor], ...]:
        grad_p, grad_q = ctx.saved_tensors
        return (
            grad[:, None] * grad_p if ctx.needs_input_grad[0] else None,
            grad[:, None] * grad_q if ctx.needs_input_grad[1] else None,
            None,
            None,
            None,
            None,
        )


def sinkhorn(
    p: Tensor,
    q: Tensor,
    cost: Tensor,
    epsilon: Optional[float] = None,
    max_iter: int = 500,
    tol: float = 1e-4,
) -> SinkhornResult:
    r"""Solve debiased entropic transport between rows of probabilities.

    .. math:: S_\epsilon(p,q) = OT_\epsilon(p,q) - \tfrac12 OT_\epsilon(p,p)
              - \tfrac12 OT_\epsilon(q,q)

    .. math:: OT_\epsilon(p,q) = \min_{\pi\in\Pi(p,q)} \langle\pi, D\rangle +
              \epsilon\,\mathrm{KL}(\pi\,\|\,p\otimes q)

    Zero with exactly zero gradient at :math:`p=q`, symmetric, non-negative for a
    conditionally negative definite :math:`D`, as that of :func:`prototype_cost` is,
    and the transport cost as :math:`\epsilon\to0`. The gradient comes from the dual
    potentials, not through the iterations, and is accurate to about the marginal error.
    Runs in float32 (float64 for float64 rows) under autocast, with no ``(N, M, M)``
    tensor. After arXiv 1804.10069, which names the Earth Mover's Distance;
    debiasing and solver are our reading.

    Args:
        p: Teacher's probabilities, ``(N, M)``, exact zeros allowed; each row is
            divided by its sum, also for the gradient.
        q: Student's probabilities, ``(N, M)``, likewise.
        cost: Ground cost :math:`D`, symmetric ``(M, M)``, not differentiated.
        epsilon: Regularization in units of the cost; ``None`` takes
            :func:`default_epsilon`.
        max_iter: Maximum number of updates, rounded up to a multiple of 5.
        tol: Stop a clip at this L1 marginal error; float32 may not reach less than
            1e-5.

    Returns:
        The divergence of each clip with its error and iteration count.

    Raises:
        ValueError: if shapes do not fit or a number is not above 0.
    """
    check_same_shape(q, p, 'probabilities', ndim=2)
    if cost.shape != (p.shape[1], p.shape[1]):
        raise ValueError(
            f'ground cost {tuple(cost.shape)} does not fit {p.shape[1]} classes'
        )
    if epsilon is None:
        epsilon = default_epsilon(cost)
    check_positive(epsilon, 'epsilon')
    check_positive(max_iter, 'max_iter')
    check_positive(tol, 'tol')
    p, q = full_precision(p), full_precision(q)
    dtype = torch.promote_types(p.dtype, q.dtype)
    p, q = p.to(dtype), q.to(dtype)
    cost = cost.detach().to(q)
    max_iter = -(-max_iter // CHECK_EVERY) * CHECK_EVERY
    value, error, iterations = _Sinkhorn.apply(p, q, cost, epsilon, max_iter, tol)
    return SinkhornResult(nonnegative(value), error, iterations)


def binary_transport(p: Tensor, q: Tensor, delta: Optional[float] = None) -> Tensor:
    r"""Transport in closed form where every move costs 1.

    .. math:: L_n = \tfrac12\sum_m h_\delta(p_{nm}-q_{nm}),\quad
              h_\delta(x) = \min(|x|, \delta)\,
              \left(|x| - \tfrac12\min(|x|,\delta)\right)/\delta

    which is at most :math:`M\delta/4` below :math:`\tfrac12\|p-q\|_1`. The plain
    norm has a constant gradient however near the student is; the rounded corner,
    ours, lets it fade within :math:`\delta` and vanish at :math:`p=q`.

    Args:
        p: Teacher's probabilities, ``(N, M)``.
        q: Student's probabilities, ``(N, M)``.
        delta: Half width :math:`\delta` of the corner, a probability above 0;
            ``None`` takes a tenth of the uniform probability, 0.1 / M.

    Returns:
        Loss of each clip, ``(N,)``; the caller takes the mean over the global
        batch.

    Raises:
        ValueError: if the shapes differ or ``delta`` is not above 0.
    """
    check_same_shape(q, p, 'probabilities', ndim=2)
    if delta is None:
        delta = 0.1 / p.shape[1]
    check_positive(delta, 'delta')
    corner = F.huber_loss(
        full_precision(q), full_precision(p), reduction='none', delta=delta
    )
    return 0.5 * corner.sum(dim=-1) / delta
