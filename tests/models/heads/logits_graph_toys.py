"""Logits graphs whose prototypes are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmvkd.models import LogitsGraphHead
from mmvkd.models.losses import prototype_cost
from mmvkd.models.outputs import ModelCard, Targets


def graph(teachers: int = 2, classes: int = 4, **settings: Any) -> LogitsGraphHead:
    """A head for teachers t1, t2, …, whose prototypes are drawn."""
    head = LogitsGraphHead(**settings)
    cards = {f't{k + 1}': ModelCard(f't{k + 1}', classes) for k in range(teachers)}
    head.attach(ModelCard('student', classes), cards)
    generator = torch.Generator().manual_seed(9)
    head.cost_matrix = prototype_cost(
        [torch.randn(classes, 6, generator=generator)]
    ).float()
    return head


def edges(
    head: LogitsGraphHead, of_teachers: Tensor, to: Targets
) -> tuple[Tensor, Tensor]:
    """Edges among teachers and to the student, by the teachers' logits (N, K, M)."""
    return head._edges(head._log_trust(of_teachers, to))
