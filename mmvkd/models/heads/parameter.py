"""Head on parameters: matches the spatial frequencies of the teachers' kernels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from mmaction.models.recognizers import BaseRecognizer
from mmengine.logging import MessageHub, print_log
from torch import Tensor

from mmvkd.models.heads.base import DistillationHead, chosen_terms, mean_terms
from mmvkd.models.kernels import Size, by_stage, filters, has_volumes, kernels
from mmvkd.models.losses import (
    frequency_energy,
    jensen_shannon,
    kernel_spectrum,
    quantile_distance,
    quantiles,
)
from mmvkd.models.losses.numerics import check_at_least
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.teachers import Peer, Teacher
from mmvkd.registry import MODELS

Stages = Mapping[str, list[Tensor]]
"""A model's kernels by stage."""

_COMPARE: dict[str, Callable[..., Tensor]] = dict(
    energy=jensen_shannon, quantile=quantile_distance
)
_DESCRIBE: dict[str, Callable[..., Tensor]] = dict(
    energy=frequency_energy, quantile=quantiles
)


@dataclass
class _Pair:
    """The filters of one size in a stage of the student and in one of a teacher.

    Not a module: its constants are made once the teachers are loaded, but an average of
    models is copied before that and pairs buffers by position.

    Args:
        stage: The student's stage.
        teacher: Name of the teacher.
        other: The teacher's stage.
        size: Size of the filters.
        volumes: See :func:`mmvkd.models.kernels.filters`.
        terms: Terms to compute.
    """

    stage: str
    teacher: str
    other: str
    size: Size
    volumes: bool
    terms: Collection[str]
    targets: dict[str, Tensor] = field(default_factory=dict, init=False)

    @torch.no_grad()
    def set_targets(
        self,
        theirs: Stages,
        most: Optional[int] = None,
        generator: Optional[torch.Generator] = None,
    ) -> None:
        """Describe the teacher's filters, or about ``most`` of them, as constants."""
        spectrum = self._spectrum(theirs[self.other], most, generator)
        for term in self.terms:
            self.targets[term] = _DESCRIBE[term](spectrum)

    def compare(
        self, own: Stages, most: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The terms, from about ``most`` of the student's filters."""
        spectrum = self._spectrum(own[self.stage], most, generator)
        return {
            term: _COMPARE[term](_DESCRIBE[term](spectrum), target.to(spectrum.device))
            for term, target in self.targets.items()
        }

    def _spectrum(
        self,
        stage: list[Tensor],
        most: Optional[int],
        generator: Optional[torch.Generator],
    ) -> Tensor:
        members = filters(stage, self.volumes)[self.size]
        return kernel_spectrum(_sample(members, most, generator))


@MODELS.register_module()
class ParameterHead(DistillationHead):
    """Matches how the kernels of each stage spread over spatial frequencies.

    After arXiv 2009.06902; our reading. The filters of a stage go through an
    orthonormal DCT, and distributions over all filters are compared, so the numbers of
    channels and layers may differ. Kernels of 1×1, which have no spatial frequencies,
    are left out, and so are those of a size that the other model lacks. Kernels that
    extend in time keep that axis if both stages have such kernels; otherwise they are
    averaged over it.

    Args:
        terms: Weight by term. ``energy``: Jensen–Shannon divergence of each frequency's
            share of the energy; ``quantile``: squared 2-Wasserstein distance of each
            frequency's coefficients. Both if None.
        stages: The teachers' module for each of the student's, as in
            ``{'backbone.layer1': 'backbone.slow_path.layer1'}``. If None, numbered
            stages (``layer1`` …) in order; see :func:`mmvkd.models.kernels.by_stage`.
        interval: Compute the terms only once in this many iterations, and multiply
            their gradient by this number. In between, their last values stand for them,
            without a gradient.
        max_filters: About how many filters of a stage and size to use at most, drawn
            anew each time. A frozen teacher's are all used, once; for a teacher that
            learns, the limit is the same as for the student. A draw differs from the
            whole by chance, so that even a student with the teacher's own kernels then
            has a small loss.
        seed: Seed of the draw, together with the iteration.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.

    Raises:
        ValueError: for an unknown term, or numbers below 1.
    """

    terms: dict[str, float]
    last: Tensor

    def __init__(
        self,
        terms: Optional[Mapping[str, float]] = None,
        stages: Optional[Mapping[str, str]] = None,
        interval: int = 10,
        max_filters: int = 16384,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.terms = chosen_terms(
            terms or dict.fromkeys(_COMPARE, 1.0), tuple(_COMPARE)
        )
        check_at_least(1, interval, 'interval')
        check_at_least(1, max_filters, 'max_filters')
        self.stages = None if stages is None else dict(stages)
        self.interval = interval
        self.max_filters = max_filters
        self.seed = seed
        # in checkpoints, so that a resumed run goes on with them
        self.register_buffer('last', torch.zeros(len(self.terms)))
        self.pairs: list[_Pair] = []
        self._peers: dict[str, Peer] = {}

    @classmethod
    def reverse(cls, config: Mapping[str, Any], teacher: str) -> dict[str, Any]:
        """The config of the reverse head, with the stages the other way round.

        Raises:
            ValueError: if a stage of the teacher corresponds to two of the student.
        """
        turned = super().reverse(config, teacher)
        stages = turned.get('stages')
        if stages is not None:
            turned['stages'] = {theirs: own for own, theirs in stages.items()}
            if len(turned['stages']) < len(stages):
                raise ValueError(
                    f"ParameterHead cannot let teacher '{teacher}' learn (mutual=True) "
                    f'by stages of which two answer to one: {stages}'
                )
        return turned

    def inspect_models(
        self, student: BaseRecognizer, teachers: Mapping[str, Teacher]
    ) -> None:
        """Keep the student, outside the tree of modules, and find its stages."""
        # in a tuple, because an attribute that is a module becomes part of the head; a
        # copy of the distiller copies head and student, so they still belong together
        self._student = (student,)
        self._own_stages()

    def _own_stages(self) -> Stages:
        (model,) = self._student
        return by_stage('student', kernels(model.named_parameters()), self.stages)

    def _their_stages(self, name: str, teacher: Teacher) -> Stages:
        chosen = None if self.stages is None else self.stages.values()
        return by_stage(name, teacher.kernels(), chosen)

    def prepare(self, teachers: Mapping[str, Teacher]) -> None:
        """Pair the stages and sizes, and describe the teachers' kernels.

        Raises:
            ValueError: if stages or sizes do not correspond.
        """
        self.pairs = []
        # a copy of the distiller copies these too, as it does the student
        self._peers = {n: t for n, t in teachers.items() if isinstance(t, Peer)}
        own = self._own_stages()
        for name, teacher in teachers.items():
            theirs = self._their_stages(name, teacher)
            if self.stages is None and len(theirs) != len(own):
                raise ValueError(
                    f"the student's stages are {', '.join(own)}, those "
                    f"of teacher '{name}' {', '.join(theirs)}; say stages=dict(...)"
                )
            answers = theirs if self.stages is None else self.stages.values()
            pairs, told = [], []
            for stage, other in zip(own, answers):
                found, seen = self._pairs(
                    own[stage], theirs[other], stage=stage, teacher=name, other=other
                )
                pairs += found
                told.append(f'{stage} {seen[0]} with {other} {seen[1]}')
            if not pairs:
                raise ValueError(
                    f"student and teacher '{name}' have no kernels of "
                    'one size, 3×3 or larger, in any stage'
                )
            for pair in pairs:
                pair.set_targets(theirs)
            self.pairs.extend(pairs)
            print_log(
                f"ParameterHead compares kernels with those of '{name}': "
                f'{"; ".join(told)}; the others have no spatial frequencies or no '
                'partner of their size',
                logger='current',
            )

    def _pairs(
        self, own: list[Tensor], theirs: list[Tensor], **between: str
    ) -> tuple[list[_Pair], list[str]]:
        """Pairs of two stages, and how many kernels of each model are in them."""
        volumes = has_volumes(own) and has_volumes(theirs)
        mine, others = filters(own, volumes), filters(theirs, volumes)
        sizes = [size for size in mine if size in others]
        pairs = [
            _Pair(**between, size=size, volumes=volumes, terms=self.terms)
            for size in sizes
        ]
        seen = [
            f'{sum(len(groups[size]) for size in sizes)} of {len(members)}'
            for groups, members in ((mine, own), (others, theirs))
        ]
        return pairs, seen

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The terms, averaged over stages, sizes and teachers."""
        iteration = MessageHub.get_current_instance().get_info('iter')
        # outside a Runner nobody counts the steps
        interval = 1 if iteration is None else self.interval
        iteration = iteration or 0
        if iteration % interval:
            # this may be the only term of a phase, whose objective needs a graph
            nothing = 0 * student.logits.float().sum()
            return dict(zip(self.terms, self.last + nothing))
        # the same on all ranks, as the kernels are
        generator = torch.Generator().manual_seed(self.seed + iteration)
        theirs = {name: self._their_stages(name, t) for name, t in self._peers.items()}
        for pair in self.pairs:
            if pair.teacher in theirs:
                pair.set_targets(theirs[pair.teacher], self.max_filters, generator)
        own = self._own_stages()
        each = [pair.compare(own, self.max_filters, generator) for pair in self.pairs]
        values = mean_terms(each)
        self.last.copy_(torch.stack([values[term].detach() for term in self.terms]))
        return {
            term: value + (interval - 1) * (value - value.detach())
            for term, value in values.items()
        }


def _sample(
    members: list[Tensor], most: Optional[int], generator: Optional[torch.Generator]
) -> Tensor:
    """About ``most`` random filters, a fair share of each kernel's; all if fewer."""
    total = sum(len(member) for member in members)
    if most is None or total <= most:
        return torch.cat(members)
    drawn = []
    for member in members:
        count = max(1, most * len(member) // total)
        places = torch.randint(len(member), (count,), generator=generator)
        drawn.append(member[places.to(member.device, non_blocking=True)])
    return torch.cat(drawn)
