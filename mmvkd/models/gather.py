"""Terms over the global batch: one process or many give the same gradients.

DDP averages the ranks' gradients. A mean over clips is therefore the local sum divided
by the *global* count, times the number of ranks. A term that spans clips is computed on
the gathered batch by every rank.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from torch import Tensor


class _Gather(torch.autograd.Function):
    """All-gather whose backward pass sums over ranks.

    Keeping only the rank's own slice would leave 1/W of the gradient after DDP's mean.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad.chunk(get_world_size())[dist.get_rank()]


def gather(x: Tensor) -> Tensor:
    """The global batch (W·N, ...) of ``x`` (N, ...), with the same N on each rank."""
    return x if get_world_size() == 1 else _Gather.apply(x)


def global_sum(values: Tensor) -> Tensor:
    """Sum of ``values`` over the global batch, without a graph."""
    total = values.detach().sum(dtype=torch.float32)
    if get_world_size() > 1:
        dist.all_reduce(total)
    return total


def clip_mean(values: Tensor, mask: Optional[Tensor] = None) -> Tensor:
    """Mean over the clips of the global batch, up to DDP's averaging.

    Args:
        values: (N,), one value per clip.
        mask: (N,), bool; clips outside are left out. A rank with none gives zero.
    """
    if mask is None:
        return values.mean()
    # a batch without any gives zero, not NaN
    count = global_sum(mask).clamp_min(1.0) / get_world_size()
    return torch.where(mask, values, torch.zeros_like(values)).sum() / count
