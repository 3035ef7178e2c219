"""Logits of a student and of teachers, and labels, for heads on logits."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from mmvkd.models.outputs import Outputs, Targets


def logits(clips: int = 3, classes: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(clips, classes, generator=generator)


def outputs(*seeds: int) -> dict[str, Outputs]:
    return {f't{seed}': Outputs(logits(seed=seed)) for seed in seeds}


def targets(labels: Optional[list[int]] = None) -> Targets:
    if labels is None:
        labels = [0, 1, 2]
    return targets_of(labels)


def targets_of(labels: list[int]) -> Targets:
    """Targets of clips, −1 for one without a label."""
    labeled = [place for place, label in enumerate(labels) if label >= 0]
    complete = len(labeled) == len(labels)
    return Targets(torch.tensor(labels), None if complete else labeled)
