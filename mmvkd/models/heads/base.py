"""The base of all distillation heads."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Optional, Union

import torch
from mmaction.models.recognizers import BaseRecognizer
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvkd.models.losses.numerics import check_at_least
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.teachers import Teacher

TapConfig = Union[str, Mapping[str, str]]
"""A module's dotted name, or ``dict(name=..., layout=...)`` if the layout cannot be
told from the shape."""


class DistillationHead(nn.Module):
    """Turns taps and logits of student and teachers into named terms.

    A term is a scalar, at least zero; the balancer weighs the terms into one objective.
    A new method overrides :meth:`forward`, and :meth:`attach` if it needs modules.

    The distiller calls, in this order: :meth:`choose`, :meth:`inspect_models`,
    :meth:`student_taps` and :meth:`teacher_taps`, then, when it knows their shapes,
    :meth:`attach`; in training :meth:`prepare`, when weights are loaded, and
    :meth:`forward` in each step. A cascade calls :meth:`focus` where a phase begins.

    Args:
        loss_weight: Weight of the head's terms, except its :attr:`inner_terms`.
        teachers: Names of the teachers it learns from; None for all.
        tap: The student's module whose output it uses, if any.
        teacher_tap: The teachers' module; the same name as ``tap`` if None, or a dict
            by teacher name.
    """

    terms: Collection[str] = ('',)
    """The terms it adds to the objective; balancers that learn scales have one for
    each. A dict also gives their weights."""

    inner_terms: Collection[str] = ()
    """The terms that train only the head itself; each has weight 1."""

    label_terms: Collection[str] = ()
    """The terms that are zero if no clip of the batch has a label."""

    diagnostics: Sequence[str] = ()
    """Terms that are only logged, not part of the objective."""

    one_way: str = ''
    """Why no teacher can learn from the student through it; empty if one can."""

    def __init__(
        self,
        loss_weight: float = 1.0,
        teachers: Optional[Union[str, Sequence[str]]] = None,
        tap: Optional[TapConfig] = None,
        teacher_tap: Optional[Union[TapConfig, Mapping[str, TapConfig]]] = None,
    ) -> None:
        super().__init__()
        check_at_least(0, loss_weight, 'loss_weight')
        self.loss_weight = loss_weight
        if isinstance(teachers, str):
            teachers = [teachers]
        self.teachers = None if teachers is None else tuple(teachers)
        self.enabled = True
        self._tap = tap
        self._teacher_tap = tap if teacher_tap is None else teacher_tap

    @classmethod
    def reverse(cls, config: Mapping[str, Any], teacher: str) -> dict[str, Any]:
        """The config of the head through which a teacher learns from the student.

        Args:
            config: Config of the head through which the student learns.
            teacher: Name of the teacher that is to learn.
        """
        turned = {key: value for key, value in config.items() if key != 'teachers'}
        tap = turned.pop('tap', None)
        theirs = of_teacher(turned.pop('teacher_tap', None) or tap, teacher)
        return turned if tap is None else dict(turned, tap=theirs, teacher_tap=tap)

    def choose(self, available: Sequence[str]) -> tuple[str, ...]:
        """The teachers it learns from, out of those in the config.

        Raises:
            ValueError: if it names one that is not there, or one twice.
        """
        chosen = tuple(available) if self.teachers is None else self.teachers
        for name in chosen:
            if name not in available:
                raise ValueError(
                    f"{type(self).__name__} names teacher '{name}'; the config has "
                    f'{", ".join(available) or "none"}'
                )
            if chosen.count(name) > 1:
                raise ValueError(
                    f"{type(self).__name__} names teacher '{name}' more than once"
                )
        return chosen

    def inspect_models(
        self, student: BaseRecognizer, teachers: Mapping[str, Teacher]
    ) -> None:
        """Look at the models, if they decide what is tapped.

        Raises:
            ValueError: if the head cannot work with one of them.
        """

    def student_taps(self) -> dict[str, Optional[str]]:
        """The student's tap with its layout; None to infer the layout."""
        return dict([name_and_layout(self._tap)]) if self._tap is not None else {}

    def teacher_taps(self, teacher: str) -> dict[str, Optional[str]]:
        """The teacher's tap with its layout; None to infer the layout."""
        tap = of_teacher(self._teacher_tap, teacher)
        return dict([name_and_layout(tap)]) if tap is not None else {}

    def tap_of(self, teacher: Optional[str] = None) -> str:
        """The only tap of a teacher, or of the student if it is None."""
        (tap,) = self.student_taps() if teacher is None else self.teacher_taps(teacher)
        return tap

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Check the models and build what is trained with them, before training.

        Raises:
            ValueError: if the head cannot work with one of them.
        """

    def prepare(self, teachers: Mapping[str, Teacher]) -> None:
        """Read constants from the teachers, once their weights are loaded."""

    def focus(self, *args: Any, **parts: Any) -> None:
        """Work on the named parts only, or on all if none is named.

        Modules of the other parts then get no gradient. Heads that have parts override
        this.

        Raises:
            ValueError: for parts that the head does not have.
        """
        if args or parts:
            raise ValueError(
                f'{type(self).__name__} has no parts to choose, got {parts or args}'
            )

    def weight_of(self, term: str) -> float:
        """Weight of a term in the objective, which balancers apply."""
        if term in self.inner_terms:
            return 1.0
        weights = self.terms if isinstance(self.terms, Mapping) else {}
        return self.loss_weight * weights.get(term, 1.0)

    @property
    def active_terms(self) -> Collection[str]:
        """The :attr:`terms` that it gives under its current focus."""
        return self.terms if self.enabled else ()

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The terms of a batch, by name; a single term may have an empty name."""
        raise NotImplementedError


class LogitsHead(DistillationHead):
    """A head that compares the student's logits with each teacher's, and averages."""

    constant_with_two: str = ''
    """What of it does not depend on the logits of two classes."""

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Refuse multi-label models and teachers with another number of classes."""
        check_classes(type(self).__name__, student, teachers, 'use a feature head')
        if student.num_classes == 2 and self.constant_with_two:
            print_log(
                f'{type(self).__name__}: with two classes, {self.constant_with_two} '
                'teaches nothing; a KDHead does',
                logger='current',
                level=logging.WARNING,
            )

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """Terms, averaged over the teachers."""
        logits = student.logits.float()
        each = [
            self.compare(logits, teacher.logits.float(), targets)
            for teacher in teachers.values()
        ]
        return mean_terms(each)

    def compare(
        self, student: Tensor, teacher: Tensor, targets: Targets
    ) -> dict[str, Tensor]:
        """Terms of student logits (N, M) against one teacher's, in float32."""
        raise NotImplementedError


def mean_terms(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The terms of several teachers, averaged by name."""
    return {
        name: torch.stack([terms[name] for terms in each]).mean() for name in each[0]
    }


def check_classes(
    user: str, student: ModelCard, teachers: Mapping[str, ModelCard], instead: str
) -> None:
    """Refuse multi-label models and teachers with another number of classes.

    Args:
        user: What needs classes that compare.
        student: The student's card.
        teachers: The teachers' cards, by name.
        instead: What to do where they do not.

    Raises:
        ValueError: says which model it is, and ``instead``.
    """
    for card in (student, *teachers.values()):
        if card.multi_label:
            raise ValueError(
                f"{user} needs classes that exclude each other; '{card.name}' is "
                f'multi-label (multi_class=True, or a binary loss): {instead}'
            )
        if card.num_classes != student.num_classes:
            raise ValueError(
                f"{user}: teacher '{card.name}' has {card.num_classes} classes, "
                f'the student {student.num_classes}: {instead}, or name only teachers '
                "of the student's classes in teachers=[...]"
            )


def of_label(values: Tensor, labels: Tensor) -> Tensor:
    """The values (N, K, M) at the label, (N, K); at class 0 if a clip has none."""
    index = labels.clamp_min(0)[:, None, None].expand(-1, values.shape[1], 1)
    return values.gather(2, index).squeeze(2)


def chosen_terms(
    weights: Mapping[str, float],
    known: Sequence[str],
    defaults: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """The weights above 0, by term; ``defaults`` are those of terms left out.

    Raises:
        ValueError: for weights that are no dict, a term that is not ``known``, a
            negative weight, or if no term is left.
    """
    if not isinstance(weights, Mapping):
        raise ValueError(
            f'terms is a dict of weights, such as terms=dict({known[0]}=1.0); '
            f'got {weights!r}'
        )
    weights = {**defaults, **weights}
    for term, weight in weights.items():
        if term not in known or weight < 0:
            raise ValueError(
                f"terms has '{term}' with weight {weight}; weights of at least "
                f'0 can be given to {", ".join(known)}'
            )
    chosen = {term: weight for term, weight in weights.items() if weight > 0}
    if not chosen:
        raise ValueError(f'no term has a weight above 0; choose of {", ".join(known)}')
    return chosen


def of_teacher(tap: Any, teacher: str, setting: str = 'teacher_tap') -> Any:
    """The teacher's entry if the setting is a dict by teacher, else the setting.

    Raises:
        ValueError: if the dict has none for this teacher.
    """
    if not isinstance(tap, Mapping) or 'name' in tap:
        return tap
    if teacher not in tap:
        raise ValueError(
            f"{setting} has none for teacher '{teacher}'; it has {', '.join(tap)}"
        )
    return tap[teacher]


def name_and_layout(tap: TapConfig) -> tuple[str, Optional[str]]:
    """Name and layout (None if not given) of a tap: a name, or a dict of both.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(tap, str):
        return tap, None
    keys = set(tap) if isinstance(tap, Mapping) else set()
    if 'name' not in keys or keys - {'name', 'layout'}:
        raise ValueError(
            f'{tap!r} is no tap; expected the dotted name of a module, or '
            'dict(name=…, layout=…)'
        )
    return tap['name'], tap.get('layout')
