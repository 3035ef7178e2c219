"""Distillers with a substage head, of few parameters."""

from __future__ import annotations

from typing import Any

from recognizer_toys import (
    distiller,
    teacher,
    tiny_tsn,
)
from torch import nn

ALL = dict(correlation=1.0, combination=1.0, distribution=1.0)
STAGES = ('stage1', 'stage2', 'stage3')


def short(stages: int = 3, num_classes: int = 4) -> dict[str, Any]:
    """Config of the first stages of a TSN-R18: few parameters."""
    model = tiny_tsn(num_classes=num_classes)
    model['backbone'].update(
        num_stages=stages,
        strides=(1, 2, 2)[:stages],
        dilations=(1, 1, 1)[:stages],
        out_indices=(stages - 1,),
    )
    model['cls_head']['in_channels'] = 2 ** (5 + stages)
    return model


def staged(student: Any = None, model: Any = None, **head: Any) -> nn.Module:
    """A distiller with a substage head of all terms."""
    head['terms'] = {**ALL, **head.get('terms', {})}
    return distiller(
        student=short() if student is None else student,
        teachers=dict(t=teacher(short() if model is None else model)),
        heads=dict(s=dict(type='mmvkd.SubstageHead', **head)),
    )


def one_term(term: str, **head: Any) -> dict[str, Any]:
    """Settings of a head with a single term."""
    off = dict.fromkeys(('correlation', 'combination', 'distribution'), 0.0)
    return dict(head, terms={**off, term: 1.0})
