"""Helpers for all losses: precision, sign and checks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Optional

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Return half-precision values as float32, and everything else untouched."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def nonnegative(loss: Tensor) -> Tensor:
    """Lift rounding noise below zero to zero without touching the gradient.

    A plain clamp would also cut the gradient of every loss that rounding pushed
    below zero, which happens to good students.
    """
    return loss + (loss.clamp_min(0) - loss).detach()


def check_same_shape(student: Tensor, teacher: Tensor, what: str, ndim: int) -> None:
    """Raise ``ValueError`` unless both tensors have one shape of ``ndim`` axes."""
    if student.shape != teacher.shape or student.ndim != ndim:
        raise ValueError(
            f'student {what} {tuple(student.shape)} and teacher {what} '
            f'{tuple(teacher.shape)} must have the same shape with {ndim} axes'
        )


def check_known(
    setting: str, value: Optional[str], known: Collection[Optional[str]]
) -> None:
    """Raise ``ValueError`` unless a setting has one of its known values."""
    if value not in known:
        listed = ', '.join(map(str, known))
        raise ValueError(f"{setting} '{value}' is unknown; known: {listed}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_share(value: float, name: str) -> None:
    """Raise ``ValueError`` unless the number is between zero and one."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f'{name} is a share between 0 and 1, got {value!r}')


def check_at_least(least: float, value: float, name: str) -> None:
    """Raise ``ValueError`` unless the number reaches the least that makes sense."""
    if not _is_number(value) or not value >= least:
        raise ValueError(f'{name} must be {least} or more, got {value!r}')


def check_positive(value: float, name: str) -> None:
    """Raise ``ValueError`` unless the number is above zero."""
    if not _is_number(value) or not value > 0:
        raise ValueError(f'{name} must be above 0, got {value!r}')
