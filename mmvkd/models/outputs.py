"""What models hand to the distillation heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

import torch
from torch import Tensor


@dataclass(frozen=True)
class ModelCard:
    """What a head must know of a model before the first step.

    Args:
        name: ``student`` or the teacher's name in the config.
        num_classes: M.
        multi_label: Whether the model predicts labels that do not exclude each other.
        shapes: (C, T, H, W) by tap name, for a clip of the size that was probed: C
            holds always, the others scale with the clip.
    """

    name: str
    num_classes: int
    multi_label: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """One model's outputs for a batch.

    Args:
        logits: Video-level, after consensus: (N, M).
        features: (N, C, T, H, W) by tap name.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass
class Targets:
    """The labels of a batch.

    Args:
        labels: (N,) class indices with −1 for an unlabeled clip; None for blended or
            multi-label targets.
        complete: No clip of this process lacks its label; known on the host, so that
            no step waits for the device to tell.
    """

    labels: Optional[Tensor]
    complete: bool = True

    @classmethod
    def of(cls, data_samples: Sequence) -> Targets:
        """Read the labels from ``gt_label``, where the samples lie (host or device)."""
        labels = [sample.gt_label for sample in data_samples]
        if any(label.numel() != 1 or label.is_floating_point() for label in labels):
            return cls(None)
        stacked = torch.stack(labels).flatten()
        return cls(stacked, complete=bool((stacked >= 0).all()))

    def to(self, device: torch.device) -> Targets:
        """The same targets on ``device``."""
        labels = None if self.labels is None else self.labels.to(device)
        return Targets(labels, self.complete)
