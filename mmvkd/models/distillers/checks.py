"""Checks that refuse what cannot become a distiller."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, get_args

from mmaction.models.heads import BaseHead
from mmaction.models.recognizers import BaseRecognizer
from mmengine.logging import print_log
from torch import nn

from mmvkd.models.heads.base import DistillationHead
from mmvkd.models.outputs import ModelCard
from mmvkd.models.recognizers import is_multi_label
from mmvkd.models.teachers import Peer, Teacher
from mmvkd.models.views import ClipView

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


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Let the message of an error begin with the part that it is about.

    Args:
        part: Such as ``head 'kd'``; a message that has it stays as it is.
    """
    try:
        yield
    except (ValueError, TypeError, FileNotFoundError) as error:
        # that of the operating system has a number, too
        if part not in str(error) and len(error.args) == 1:
            error.args = (f'{part}: {error}', *error.args[1:])
        raise


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


def check_types(kind: str, configs: Any) -> None:
    """Detect misspelled names: in a child config they make entries without a type.

    Raises:
        ValueError: for an entry without a type, a name not allowed for a module, or
            anything but a dict.
    """
    if not isinstance(configs, Mapping):
        raise ValueError(
            f'{kind}s are a dict of configs by name, got a {type(configs).__name__}: '
            f'{kind}s=dict(NAME=dict(type=…), …)'
        )
    for name in configs:
        if 'loss' in name:
            raise ValueError(
                f"{kind} '{name}': MMEngine sums every key of the log with 'loss' in "
                'it; give it another name'
            )
        if '.' in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"no {kind} can have the name '{name}'; give it another")
    typed = [name for name, config in configs.items() if config and 'type' in config]
    for name, config in configs.items():
        if name not in typed:
            near = get_close_matches(name, typed, cutoff=0.5) or typed
            others = f'; there is {", ".join(near)}' if near else ''
            raise ValueError(f"{kind} '{name}' has no type, but {config}{others}")


def check_teacher(teacher: Any) -> None:
    """Refuse what is no wrapper of a teacher.

    Raises:
        ValueError: says how to wrap it.
    """
    if not isinstance(teacher, get_args(Teacher)):
        raise ValueError(
            f'a {type(teacher).__name__} is no teacher until it is wrapped: '
            "dict(type='mmvkd.RecognizerTeacher', model=…, checkpoint=…)"
        )


def check_head(
    name: str, head: DistillationHead, teachers: Mapping[str, Teacher]
) -> None:
    """Refuse a head whose teachers do not fit.

    Args:
        name: Of the head.
        head: The head.
        teachers: Those it has chosen, by name.

    Raises:
        ValueError: for no teacher, or one that learns (``mutual``) and cannot through
            this head.
    """
    if not teachers:
        raise ValueError(f"head '{name}' has no teacher; add one to `teachers`")
    if head.one_way and any(isinstance(t, Peer) for t in teachers.values()):
        raise ValueError(
            f"head '{name}' is a {type(head).__name__}, from which no teacher "
            f'can learn (mutual=True): {head.one_way}'
        )


def warn_of_raw_frames(name: str, teacher: Teacher, student: ClipView) -> None:
    """Tell of a teacher that normalizes nothing beside a student that does.

    Args:
        name: Of the teacher.
        teacher: The teacher; of a cached one, the view is not known.
        student: The student's view.
    """
    view = getattr(teacher, 'view', None)
    if view is not None and student.mean and not view.mean:
        print_log(
            f"teacher '{name}' sees frames in 0..255, as its model has no "
            'data_preprocessor with a mean; name its whole config (model=PATH), or '
            'give it the data_preprocessor that it was trained with',
            logger='current',
            level=logging.WARNING,
        )


def check_diagnostics(name: str, head: DistillationHead) -> None:
    """Refuse a head that logs what MMEngine would take for a loss.

    Raises:
        ValueError: for a diagnostic with ``loss`` in its name.
    """
    for term in head.diagnostics:
        if 'loss' in term:
            raise ValueError(
                f"head '{name}' logs '{term}': MMEngine sums every key with "
                "'loss' in it; give what it is named after another name"
            )


def check_keys(keys: Sequence[str]) -> None:
    """Refuse names by which entries of the objective or log would replace others.

    Raises:
        ValueError: for a name that occurs twice, or is reserved.
    """
    for key in keys:
        if key in _TAKEN or keys.count(key) > 1:
            beside = 'the label losses or the balancer' if key in _TAKEN else 'another'
            raise ValueError(
                f"'{key}' would be logged by a head and by {beside}, as entries are "
                'named by head and term, or by teacher: give the head another name'
            )
