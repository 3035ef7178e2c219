"""Features at another size, pooled or interpolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor


def match_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Bring two features to equal T, H and W.

    Space: the larger map is pooled to the smaller. Time: the student is interpolated to
    the teacher's T, because pooling would blur what moves; if the teacher has a mean
    over time, T' = 1, the student is averaged.

    Args:
        student: (N, C, T, H, W).
        teacher: (N, C', T', H', W').

    Returns:
        Both, of size (T', min(H, H'), min(W, W')).
    """
    height = min(student.shape[3], teacher.shape[3])
    width = min(student.shape[4], teacher.shape[4])
    student = to_size(student, (teacher.shape[2], height, width))
    return student, pooled(teacher, (teacher.shape[2], height, width))


def to_size(feature: Tensor, size: Sequence[int]) -> Tensor:
    """A feature (N, C, T, H, W) at another size.

    Args:
        feature: Pooled along the sides of its map that are larger, interpolated along
            those that are smaller and in time, unless T = 1: then averaged over time.
        size: (T, H, W).
    """
    height, width = (min(own, new) for own, new in zip(feature.shape[3:], size[1:]))
    frames = 1 if size[0] == 1 else feature.shape[2]
    feature = pooled(feature, (frames, height, width))
    if tuple(feature.shape[2:]) == tuple(size):
        return feature
    if torch.are_deterministic_algorithms_enabled():
        linear = partial(F.interpolate, mode='linear')
        return _along_sides(feature.float(), size, linear)
    return F.interpolate(feature.float(), tuple(size), mode='trilinear')


def coarse(feature: Tensor, grid: int) -> Tensor:
    """A feature (N, C, T, H, W) with its map pooled to at most ``grid`` a side."""
    height, width = (min(side, grid) for side in feature.shape[3:])
    return pooled(feature, (feature.shape[2], height, width))


def pooled(feature: Tensor, size: Sequence[int]) -> Tensor:
    """A feature (N, C, T, H, W) averaged to ``size``, (T, H, W)."""
    time, height, width = size
    if tuple(feature.shape[2:]) == (time, height, width):
        return feature
    if torch.are_deterministic_algorithms_enabled():
        return _along_sides(feature, size, F.adaptive_avg_pool1d)
    return F.adaptive_avg_pool3d(feature, (time, height, width))


def _along_sides(
    feature: Tensor, size: Sequence[int], resize: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Apply ``resize`` to T, H and W in turn, as a product with a matrix.

    On a GPU the gradients of pooling and of interpolation in three dimensions are added
    up in no fixed order, so torch refuses them under ``--deterministic``.
    """
    with torch.autocast(feature.device.type, enabled=False):
        for axis, new in enumerate(size, 2):
            old = feature.shape[axis]
            if new != old:
                eye = torch.eye(old, dtype=feature.dtype, device=feature.device)
                moved = feature.movedim(axis, -1) @ resize(eye[None], new)[0]
                feature = moved.movedim(-1, axis)
    return feature
