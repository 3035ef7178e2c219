"""Models inside the wrappers of distributed training."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrap(model: Any) -> Any:
    """The model itself, without a wrapper such as DDP's."""
    return model.module if is_model_wrapper(model) else model
