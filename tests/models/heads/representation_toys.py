"""Representation graphs of made-up features."""

from __future__ import annotations

from typing import Any, Optional

import torch
from logit_toys import targets_of
from torch import Tensor

from mmvkd.models import RepresentationGraphHead
from mmvkd.models.losses import Sketch, bilinear_sketch, signed_root
from mmvkd.models.outputs import ModelCard, Outputs, Targets

SHAPES = dict(a=(6, 2, 3, 3), b=(4, 2, 3, 3), c=(5, 2, 3, 3))


def feature(shape: tuple[int, ...], clips: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(clips, *shape, generator=generator)


def graph(names: str = 'abc', classes: int = 3, **settings: Any) -> Any:
    """A head for teachers a, b, …, and a student with 7 channels."""
    samples = dict(pool='clip', joint=False, dim=16, min_vectors=0)
    settings = dict(samples, **settings)
    head = RepresentationGraphHead(tap='x', **settings)
    cards = {t: ModelCard(t, classes, False, dict(x=SHAPES[t])) for t in names}
    torch.manual_seed(0)
    head.attach(ModelCard('student', classes, False, dict(x=(7, 2, 3, 3))), cards)
    return head


def outputs(names: str = 'abc', clips: int = 4, seed: int = 0) -> dict[str, Outputs]:
    return {
        t: Outputs(torch.zeros(clips, 3), dict(x=feature(SHAPES[t], clips, seed + i)))
        for i, t in enumerate(names, start=1)
    }


def student(clips: int = 4, seed: int = 0) -> Outputs:
    return Outputs(torch.zeros(clips, 3), dict(x=feature((7, 2, 3, 3), clips, seed)))


def targets(labels: Optional[list[int]] = None) -> Targets:
    return targets_of([0, 1, 2, 0] if labels is None else labels)


def vectors(head: Any, teachers: dict[str, Outputs], i: int, j: int) -> Tensor:
    """What pair (i, j) of the head's teachers sees."""
    names = list(teachers) if len(teachers) > 1 else 2 * list(teachers)
    sides = [teachers[names[side]].features['x'].flatten(2) for side in (i, j)]
    drawn = [
        Sketch(getattr(head, f'place_{side}'), getattr(head, f'sign_{side}'))
        for side in (i, j)
    ]
    return signed_root(bilinear_sketch(sides, drawn, [(0, 1)], head.dim))[:, 0]
