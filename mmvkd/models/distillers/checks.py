"""Checks that refuse what cannot become a distiller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmaction.models.heads import BaseHead
from mmaction.models.recognizers import BaseRecognizer
from torch import nn

from mmvkd.models.outputs import ModelCard
from mmvkd.models.recognizers import is_multi_label

# terms that belong to no head, but to the label losses and the balancer
_TAKEN = ('cls', 'aux', 'scales')


def check_loss(recognizer: BaseRecognizer) -> None:
    """Refuse a model that learns from more than its head's loss on the scores.

    Raises:
        TypeError: if it has a loss of its own.
    """
    for model, base in ((recognizer, BaseRecognizer), (recognizer.cls_head, BaseHead)):
        if type(model).loss is not base.loss:
            raise TypeError(
                f'{type(model).__name__} has a loss() of its own, which a distiller '
                'would not run; write it into loss_by_feat() of the head'
            )


def check_can_learn(card: ModelCard, student: BaseRecognizer) -> None:
    """Refuse a teacher that cannot learn from the student's labels.

    Raises:
        ValueError: if the number or kind of classes differs.
    """
    classes, multi = student.cls_head.num_classes, is_multi_label(student)
    if card.num_classes != classes or card.multi_label != multi:
        raise ValueError(
            f"teacher '{card.name}' has {card.num_classes} classes, and would learn "
            f"(mutual=True) from labels of the student's {classes}; give it as many, "
            'of the same kind'
        )


def check_types(kind: str, configs: Mapping[str, Any]) -> None:
    """Detect misspelled names: in a child config they make entries without a type.

    Raises:
        ValueError: for an entry without a type, or a name not allowed for a module.
    """
    for name in configs:
        if '.' in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"no {kind} can have the name '{name}'; give it another")
    typed = [name for name, config in configs.items() if config and 'type' in config]
    for name, config in configs.items():
        if name not in typed:
            near = get_close_matches(name, typed, cutoff=0.5) or typed
            others = f'; there is {", ".join(near)}' if near else ''
            raise ValueError(f"{kind} '{name}' has no type, but {config}{others}")


def check_keys(keys: Sequence[str]) -> None:
    """Refuse names by which entries of the objective or log would replace others.

    Raises:
        ValueError: for a name that occurs twice, or is reserved.
    """
    for key in keys:
        if key in _TAKEN or keys.count(key) > 1:
            whose = 'the label losses or the balancer' if key in _TAKEN else 'two heads'
            raise ValueError(
                f"'{key}' would be a term of {whose} at once, which are logged by head "
                'and term: give the head another name'
            )
