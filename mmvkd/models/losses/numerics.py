"""What every loss needs: precision, sign, shapes and masked means."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Return half-precision values as float32, and everything else untouched."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def nonnegative(loss: Tensor) -> Tensor:
    """Lift rounding noise below zero to zero without touching the gradient.

    A plain clamp would also cut the gradient of every loss that rounding pushed
    below zero, which is where a good student is.
    """
    return loss + (loss.clamp_min(0) - loss).detach()


def check_same_shape(student: Tensor, teacher: Tensor, what: str, ndim: int) -> None:
    """Raise ``ValueError`` unless both tensors have one shape of ``ndim`` axes."""
    if student.shape != teacher.shape or student.ndim != ndim:
        raise ValueError(
            f'student {what} {tuple(student.shape)} and teacher {what} '
            f'{tuple(teacher.shape)} must have the same shape with {ndim} axes'
        )


def check_positive(value: float, name: str) -> None:
    """Raise ``ValueError`` unless the number is above zero."""
    if not value > 0:
        raise ValueError(f'{name} must be above 0, got {value}')


def masked_mean(loss: Tensor, weight: Optional[Tensor] = None) -> Tensor:
    r"""Average a per-clip loss over the clips that count.

    .. math:: \bar l = \sum_n w_n l_n \,/\, \sum_n w_n

    A clip of weight 0 gives neither value nor gradient, even where its loss is
    not finite. With no weight at all the result is 0 with zero gradient.

    Args:
        loss: Loss of each clip, ``(N,)``; under several processes gather the
            clips of the global batch first.
        weight: Non-negative weight of each clip, ``(N,)``; ``None`` counts
            every clip once.

    Returns:
        The mean, a scalar.

    Raises:
        ValueError: If the shapes differ.
    """
    if weight is None:
        weight = torch.ones_like(loss)
    if weight.shape != loss.shape:
        raise ValueError(
            f'weight {tuple(weight.shape)} must have the shape of the loss '
            f'{tuple(loss.shape)}'
        )
    weight = weight.to(loss.dtype)
    total = weight.sum()
    kept = torch.where(weight > 0, loss, torch.zeros_like(loss))
    return (weight * kept).sum() / torch.where(total > 0, total, torch.ones_like(total))
