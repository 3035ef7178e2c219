"""Which features at the ends of substages answer to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from mmaction.models.recognizers import BaseRecognizer

from mmvkd.models.heads.base import TapConfig, name_and_layout, of_teacher
from mmvkd.models.substages import substages
from mmvkd.models.teachers import Teacher

Cuts = Mapping[str, Union[TapConfig, Sequence[TapConfig], Mapping[str, Any]]]
"""By substage: ``dict(student=…, teacher=…)``, each a tap or a list of taps; or, where
both are the same, that alone."""

_Taps = list[tuple[str, Optional[str]]]
"""Taps with their layouts; None to infer a layout."""


@dataclass(frozen=True)
class StagePairs:
    """The taps that end the substages of a student and of its teachers.

    Args:
        names: Of the substages, in their order.
        student_taps: Layouts of the student's taps by their names, None to infer one.
        teacher_taps: The same of each teacher.
        pairs: By teacher and substage, the tap of the student and that of the teacher
            for each of the teacher's paths.
    """

    names: Sequence[str]
    student_taps: dict[str, Optional[str]]
    teacher_taps: Mapping[str, dict[str, Optional[str]]]
    pairs: Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]

    @classmethod
    def of(
        cls,
        cuts: Optional[Cuts],
        student: BaseRecognizer,
        teachers: Mapping[str, Teacher],
    ) -> StagePairs:
        """Cut the models as ``cuts`` says, or by their architecture if it is None.

        If the student has fewer paths than a teacher, its first one answers to the
        rest; if it has more, only its first ones are matched.

        Raises:
            ValueError: if it is not known where to cut a model, or the substages of two
                are not as many.
        """
        own = _cut(cuts, None, student)
        theirs = {
            # one that is cached has no model
            name: _cut(cuts, name, getattr(teacher, 'model', None))
            for name, teacher in teachers.items()
        }
        for name, stages in theirs.items():
            if len(stages) != len(own):
                raise ValueError(
                    f'the student has the substages {", ".join(own)}, teacher '
                    f"'{name}' has {', '.join(stages)}; say in substages= which taps "
                    'answer to each other'
                )
        return cls(
            names=tuple(own),
            student_taps=_flat(own),
            teacher_taps={name: _flat(stages) for name, stages in theirs.items()},
            pairs={
                name: {
                    stage: _paired(own[stage], taps)
                    for stage, taps in zip(own, stages.values())
                }
                for name, stages in theirs.items()
            },
        )


def _cut(
    cuts: Optional[Cuts], teacher: Optional[str], model: Optional[BaseRecognizer]
) -> dict[str, _Taps]:
    """Taps by substage of the student, or of a teacher."""
    if cuts is not None:
        if not isinstance(cuts, Mapping):
            raise ValueError(f'substages is a dict of taps by name, got {cuts!r}')
        return {stage: _named(stage, cut, teacher) for stage, cut in cuts.items()}
    known = substages(model) if model is not None else {}
    if not known:
        who = f"teacher '{teacher}'" if teacher else 'the student'
        kind = 'a store' if model is None else type(model.backbone).__name__
        raise ValueError(
            f'where to cut {who} ({kind}) is not known; name the taps: substages='
            "dict(early=dict(student='backbone.…', teacher='backbone.…'), …)"
        )
    return {stage: [(tap, None) for tap in cut.taps] for stage, cut in known.items()}


def _named(stage: str, cut: Any, teacher: Optional[str]) -> _Taps:
    """The taps that an entry of the cuts names for the student, or for a teacher.

    Raises:
        ValueError: if it names none, or anything else.
    """
    if not isinstance(cut, Mapping) or 'name' in cut:
        cut = dict(student=cut)
    if 'student' not in cut or not cut.keys() <= {'student', 'teacher'}:
        raise ValueError(
            f"substage '{stage}' is {dict(cut)}; expected a tap, a list of taps or "
            'dict(student=…, teacher=…)'
        )
    own = cut['student']
    theirs = cut.get('teacher', own)
    taps = own if teacher is None else of_teacher(theirs, teacher, 'substages')
    one = isinstance(taps, (str, Mapping))
    return [name_and_layout(tap) for tap in ([taps] if one else taps)]


def _flat(stages: Mapping[str, _Taps]) -> dict[str, Optional[str]]:
    return dict(tap for taps in stages.values() for tap in taps)


def _paired(mine: _Taps, theirs: _Taps) -> list[tuple[str, str]]:
    return [
        (mine[i if i < len(mine) else 0][0], tap) for i, (tap, _) in enumerate(theirs)
    ]
