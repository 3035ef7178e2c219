"""Models within the wrappers of distributed training."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn


def inner(model: nn.Module) -> nn.Module:
    """The model itself, out of a wrapper such as DDP's."""
    return model.module if is_model_wrapper(model) else model
