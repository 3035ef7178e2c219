"""What cannot be a distiller is refused before it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmaction.models.heads import BaseHead
from mmaction.models.recognizers import BaseRecognizer
from torch import nn

from mmvkd.models.outputs import ModelCard
from mmvkd.models.recognizers import is_multi_label

# terms that are not of a head: the label's losses and the balancer's
_TAKEN = ('cls', 'aux', 'scales')


def check_loss(recognizer: BaseRecognizer) -> None:
    """Refuse a model that learns from more than its head makes of the scores.

    Raises:
        TypeError: if it has a loss of its own.
    """
    for model, base in ((recognizer, BaseRecognizer), (recognizer.cls_head, BaseHead)):
        if type(model).loss is not base.loss:
            raise TypeError(
                f'{type(model).__name__} has a loss() of its own, which a distiller '
                'would not run; write it into loss_by_feat() of the head'
            )


def check_classes(card: ModelCard, student: BaseRecognizer) -> None:
    """Refuse a teacher that cannot learn from the student's labels.

    Raises:
        ValueError: if it has other classes.
    """
    classes, multi = student.cls_head.num_classes, is_multi_label(student)
    if card.num_classes != classes or card.multi_label != multi:
        raise ValueError(
            f"teacher '{card.name}' has {card.num_classes} classes, and would learn "
            f"(mutual=True) from labels of the student's {classes}; give it as many, "
            'of the same kind'
        )


def check_types(kind: str, configs: Mapping[str, Any]) -> None:
    """Tell a misspelt name: a child config that misses its base's makes a new entry.

    Raises:
        ValueError: for an entry without a type, or a name that no module can have.
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
    """Refuse that one entry of the objective, or of the log, would replace another.

    Raises:
        ValueError: for a name that comes twice, or is not for heads.
    """
    for key in keys:
        if key in _TAKEN or keys.count(key) > 1:
            whose = 'the label losses or the balancer' if key in _TAKEN else 'two heads'
            raise ValueError(
                f"'{key}' would be a term of {whose} at once, which are logged by head "
                'and term: give the head another name'
            )
