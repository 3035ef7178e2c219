"""What is measured and how: a config as a plain dict, and the setting."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Optional

import torch


def plain(config: Any) -> dict[str, Any]:
    """A config, or a part of one, as a plain dict of its own."""
    return copy.deepcopy(getattr(config, 'to_dict', lambda: dict(config))())


@dataclass(frozen=True)
class BenchmarkSettings:
    """How a config is measured.

    Args:
        batch: Clips in a batch, of each process.
        size: Pixels a side of the made-up clips; None for those of the pipeline.
        frames: Frames of a clip; None for those of the pipeline.
        device: ``cpu`` or ``cuda``.
        steps: Rounds that count; each variant takes one step in each.
        warmup: Rounds before those that count.
    """

    batch: int = 8
    size: Optional[int] = None
    frames: Optional[int] = None
    device: str = 'cpu'
    steps: int = 20
    warmup: int = 3

    def __post_init__(self) -> None:
        for name in ('batch', 'steps'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be 1 or more, got {getattr(self, name)}')
        for name, least in (('warmup', 0), ('size', 1), ('frames', 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f'{name} must be {least} or more, got {value}')
        if torch.device(self.device).type == 'cuda' and not torch.cuda.is_available():
            raise ValueError(f"device '{self.device}': torch sees no CUDA device here")
