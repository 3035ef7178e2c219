"""Convolution kernels by stage, as filters that have a spatial spectrum."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Optional

from torch import Tensor

Size = tuple[int, ...]
"""Shape of a filter: (k, k), or (t, k, k) in a volume."""

_STAGE = re.compile(r'(?:^|\.)((?:layer|stage|block|features)s?[._]?\d+)\.')


def kernels(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The kernels of 2-D and 3-D convolutions, (O, I, …), by module name.

    Args:
        tensors: Named parameters, or the items of a state dict.
    """
    return {
        name[: -len('.weight')]: tensor
        for name, tensor in tensors
        if name.endswith('.weight') and tensor.ndim in (4, 5)
    }


def by_stage(
    model: str,
    found: Mapping[str, Tensor],
    prefixes: Optional[Iterable[str]] = None,
) -> dict[str, list[Tensor]]:
    """The kernels of each stage.

    Args:
        model: Its name, for messages.
        found: What :func:`kernels` gave.
        prefixes: Dotted names of the stages. If None, a kernel's stage is the first
            numbered layer, stage, block or features in its name, such as ``layer3``;
            the pathways of a SlowFast share their stages.

    Raises:
        ValueError: if a stage has no kernel.
    """
    stages: dict[str, list[Tensor]] = {prefix: [] for prefix in prefixes or ()}
    for name, kernel in found.items():
        if prefixes is None:
            match = _STAGE.search(f'{name}.')
            if match:
                stages.setdefault(match[1], []).append(kernel)
            continue
        for prefix, members in stages.items():
            if f'{name}.'.startswith(f'{prefix}.'):
                members.append(kernel)
    empty = [stage for stage, members in stages.items() if not members]
    if empty or not stages:
        stage = _listed(empty) or 'any numbered stage'
        raise ValueError(
            f"'{model}' has no convolution in {stage}; name one in `stages`: "
            f'it has {_listed(list(found)) or "none at all"}'
        )
    return stages


def filters(members: Iterable[Tensor], volumes: bool) -> dict[Size, list[Tensor]]:
    """The filters of kernels, (F, k, k) or (F, t, k, k), by size.

    Grouped and depthwise kernels (O, I/g, …) just have fewer filters. Kernels smaller
    than 3 × 3, which have no spatial spectrum, and non-square ones are left out.

    Args:
        members: Kernels, (O, I, …).
        volumes: Whether kernels that extend in time keep that axis; otherwise they are
            averaged over it.
    """
    found: dict[Size, list[Tensor]] = {}
    for kernel in members:
        height, width = kernel.shape[-2:]
        if height != width or height < 3:
            continue
        flat = kernel.flatten(0, 1)
        if flat.ndim == 4 and (flat.shape[1] == 1 or not volumes):
            flat = flat.mean(dim=1)
        found.setdefault(tuple(flat.shape[1:]), []).append(flat)
    return found


def has_volumes(members: Iterable[Tensor]) -> bool:
    """Whether one of the kernels extends both in time and in space."""
    return any(
        kernel.ndim == 5 and kernel.shape[2] > 1 and kernel.shape[-1] > 1
        for kernel in members
    )


def _listed(names: list[str]) -> str:
    return ', '.join(names[:6]) + (', …' if len(names) > 6 else '')
