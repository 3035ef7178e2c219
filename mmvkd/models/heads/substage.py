"""Substage-based learning: correlation, combination and distribution of substages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from mmaction.models.recognizers import BaseRecognizer
from torch import Tensor, nn

from mmvkd.models.connectors import build_connector
from mmvkd.models.gather import clip_mean, gather
from mmvkd.models.heads.base import (
    DistillationHead,
    check_classes,
    chosen_terms,
    mean_terms,
)
from mmvkd.models.heads.stage_pairs import Cuts, StagePairs
from mmvkd.models.losses import (
    channel_moments,
    cka_distance,
    gaussian_distance,
    gram_distance,
    kd_loss,
    mmd,
    pearson_distance,
)
from mmvkd.models.losses.numerics import (
    check_at_least,
    check_known,
    check_positive,
    check_share,
)
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.resizing import coarse, match_size, to_size
from mmvkd.models.teachers import RecognizerTeacher, Teacher
from mmvkd.registry import MODELS
from mmvkd.seeding import shared

Pairs = list[tuple[Tensor, Tensor]]
"""Features of student and teacher at the end of a substage, a pair for each path."""

# the defaults that measured best
_TERMS = dict(correlation=1.0, combination=0.0, distribution=0.0)
_DISTANCES = ('gaussian', 'mmd')
_WEIGHTINGS = ('distribution', 'fixed')
_HYBRIDS = ('one', 'all')


def _pearson(mine: Tensor, theirs: Tensor) -> Tensor:
    return clip_mean(pearson_distance(mine, theirs))


def _cka(mine: Tensor, theirs: Tensor) -> Tensor:
    return cka_distance(gather(mine.flatten(1)), gather(theirs.flatten(1)))


def _gram(mine: Tensor, theirs: Tensor) -> Tensor:
    return clip_mean(gram_distance(*match_size(mine, theirs)))


_CORRELATE: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    pearson=_pearson, cka=_cka, gram=_gram
)


@MODELS.register_module()
class SubstageHead(DistillationHead):
    r"""Matches corresponding substages, alone and combined into a hybrid network.

    After arXiv 2307.05201; our reading. Student and teacher are cut into substages
    :math:`j = 1 \dots J`. A connector maps the student's feature to the teacher's
    channels. With :math:`d_j` the distance of the distributions at substage j, which in
    the weights :math:`w_j` is smoothed over the steps and has no gradient,

    .. math:: L = \frac1J \sum_j w_j \big(\lambda_1 L^{(j)}_{cor}
              + \lambda_2 L^{(j)}_{com} + \lambda_3 d_j\big),\quad
              w_j = \frac{d_j}{\tfrac1J \sum_i d_i}

    Each term is averaged over the substages that have it. With the correlation alone,
    ``loss_weight=10`` measured better than 1.

    * *correlation*: see :mod:`mmvkd.models.losses.substage`;
    * *combination*: the hybrid network is the student up to substage j, the connector,
      and the frozen teacher from there on; the term is its cross-entropy on the label
      plus its divergence from the whole teacher;
    * *distribution*: :math:`d_j` over the global batch, see ``distance``. If this term
      is off, only the other terms train the connector through which :math:`d_j` is
      measured, and ``pearson`` does not fix the scale and shift of a channel: the
      weights then change little.

    Args:
        substages: By name, ``dict(student=…, teacher=…)``: the tap that ends a
            substage, or the taps if paths run side by side. ``teacher`` may be a dict
            by teacher name; if left out, it is the same as ``student``, which may then
            stand alone: ``dict(early='backbone.layer1')``. None cuts both models as
            :func:`~mmvkd.models.substages.substages` does. If the student has more
            paths than the teacher, only its first ones are matched.
        terms: :math:`\lambda` by term; if left out, 1 for the correlation and 0, which
            turns a term off, for the others.
        correlation: ``pearson``, per channel over positions; ``cka``, among the clips
            of the global batch; ``gram``, among the positions of a clip. The last two
            need no connector.
        grid: Side to which larger maps are pooled before they are compared: each pass
            over a large map costs more than its convolution. Hybrids see full maps.
        connector: Config of the connector, one for each substage and teacher.
        hybrids: ``one`` draws a substage in each step, the same in all processes;
            ``all`` runs all hybrids, at more than twice the cost of a step.
        combined: Substages after which a hybrid switches to the teacher. If None, all
            but the last, after which only the teacher's head would follow.
        temperature: Temperature of the hybrid's divergence from the teacher.
        ce_weight: Weight of the hybrid's cross-entropy, over labeled clips.
        kd_weight: Weight of that divergence.
        distance: How distributions are compared: ``gaussian``, by the moments of each
            channel (:func:`~mmvkd.models.losses.gaussian_distance`), or ``mmd``, by the
            clips' averages over positions (:func:`~mmvkd.models.losses.mmd`).
        weighting: ``distribution`` as above; ``fixed`` for :math:`w_j = 1`.
        momentum: Share of the past in the smoothed distances.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`; taps are named
            in ``substages``.

    Raises:
        ValueError: for an unknown name, or if substages are weighed by distances
            measured through a connector that no term trains.
    """

    one_way = 'its hybrids go on through a frozen teacher'
    terms: dict[str, float]
    connectors: Any
    distances: Tensor

    def __init__(
        self,
        substages: Optional[Cuts] = None,
        terms: Optional[Mapping[str, float]] = None,
        correlation: str = 'pearson',
        grid: int = 4,
        connector: Optional[Mapping[str, Any]] = None,
        hybrids: str = 'one',
        combined: Optional[Sequence[str]] = None,
        temperature: float = 4.0,
        ce_weight: float = 1.0,
        kd_weight: float = 1.0,
        distance: str = 'gaussian',
        weighting: str = 'distribution',
        momentum: float = 0.9,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, known in (
            ('correlation', correlation, _CORRELATE),
            ('hybrids', hybrids, _HYBRIDS),
            ('distance', distance, _DISTANCES),
            ('weighting', weighting, _WEIGHTINGS),
        ):
            check_known(name, value, known)
        check_positive(temperature, 'temperature')
        check_share(momentum, 'momentum')
        check_at_least(1, grid, 'grid')
        check_at_least(0, ce_weight, 'ce_weight')
        check_at_least(0, kd_weight, 'kd_weight')
        self.substages = substages
        self.terms = chosen_terms(terms or {}, tuple(_TERMS), _TERMS)
        if (
            weighting == 'distribution'
            and correlation != 'pearson'
            and set(self.terms) == {'correlation'}
        ):
            raise ValueError(
                "weighting='distribution' looks through a connector, which "
                f"correlation='{correlation}' alone does not train; set "
                "weighting='fixed' or give another term a weight"
            )
        if not kd_weight:
            self.label_terms = tuple({'combination'} & self.terms.keys())
        self.correlation = correlation
        self.grid = grid
        self.connector = connector
        self.hybrids = hybrids
        self.combined = combined
        self.temperature = temperature
        self.ce_weight = ce_weight
        self.kd_weight = kd_weight
        self.distance = distance
        self.weighting = weighting
        self.momentum = momentum
        self.connectors = nn.ModuleDict()

    def inspect_models(
        self, student: BaseRecognizer, teachers: Mapping[str, Teacher]
    ) -> None:
        """Cut the models into substages.

        Raises:
            ValueError: if they cannot be cut, or a teacher cannot run in part.
        """
        if 'combination' in self.terms:
            for name, teacher in teachers.items():
                if not isinstance(teacher, RecognizerTeacher):
                    raise ValueError(
                        f"teacher '{name}' is a {type(teacher).__name__}, which cannot "
                        'run on from a substage of the student; set '
                        'terms=dict(combination=0)'
                    )
                teacher.offers_hybrid = True
        self._matched = StagePairs.of(self.substages, student, teachers)
        self.names = self._matched.names
        self._combined = _chosen('combined', self.combined, self.names, self.names[:-1])
        self.focus()

    def student_taps(self) -> dict[str, Optional[str]]:
        """The taps that end the student's substages, with their layouts."""
        return self._matched.student_taps

    def teacher_taps(self, teacher: str) -> dict[str, Optional[str]]:
        """The taps that end the teacher's substages, with their layouts."""
        return self._matched.teacher_taps[teacher]

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Build the connectors.

        Raises:
            ValueError: for a hybrid whose classes do not compare with the student's.
        """
        if 'combination' in self.terms:
            instead = 'set terms=dict(combination=0)'
            check_classes("SubstageHead's hybrid", student, teachers, instead)
        if self._connected:
            for name, card in teachers.items():
                self.connectors[name] = self._build_connectors(student, card)
        # -1: not known yet; over the global batch, hence equal in all processes
        unknown = torch.full((len(teachers), len(self.names)), -1.0)
        self.register_buffer('distances', unknown)
        self.diagnostics = [
            f'{what}_{stage}' for what in ('distance', 'weight') for stage in self.names
        ]

    def _build_connectors(self, student: ModelCard, teacher: ModelCard) -> nn.Module:
        """A list of connectors, one for each path, for each substage."""
        shapes, theirs = student.shapes, teacher.shapes
        return nn.ModuleDict(
            {
                stage: nn.ModuleList(
                    build_connector(self.connector, shapes[own], theirs[other])
                    for own, other in pairs
                )
                for stage, pairs in self._matched.pairs[teacher.name].items()
            }
        )

    @property
    def _connected(self) -> bool:
        """Whether anything needs a connector to the teacher's channels."""
        return (
            self.correlation == 'pearson'
            or self.weighting == 'distribution'
            or 'combination' in self.terms
            or 'distribution' in self.terms
        )

    def focus(
        self,
        stages: Optional[Sequence[str]] = None,
        terms: Optional[Sequence[str]] = None,
    ) -> None:
        """Work on some substages and some terms that have a weight; None for all.

        Raises:
            ValueError: for an unknown name, or if nothing is left.
        """
        self._stages = _chosen('stages', stages, self.names, self.names)
        self._behind = [stage for stage in self._stages if stage in self._combined]
        self._on = [
            term
            for term in _chosen('terms', terms, tuple(_TERMS), _TERMS)
            if term in self.terms and (term != 'combination' or self._behind)
        ]
        if not self._stages or not self._on:
            raise ValueError(
                f'{type(self).__name__} has nothing to do with stages={stages}, '
                f'terms={terms}; its terms have the weights {self.terms}'
            )
        for connectors in self.connectors.values():
            for stage, modules in connectors.items():
                modules.requires_grad_(stage in self._stages)

    @property
    def active_terms(self) -> Sequence[str]:
        """The terms of the current phase."""
        return self._on if self.enabled else ()

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """One term of each kind and the diagnostics, averaged over the teachers."""
        behind = self._behind
        if self.hybrids == 'one' and 'combination' in self._on:
            behind = [shared.choice(behind)]
        each = [
            self._of_teacher(name, row, student, outputs, targets, behind)
            for row, (name, outputs) in enumerate(teachers.items())
        ]
        return mean_terms(each)

    def _of_teacher(
        self,
        name: str,
        row: int,
        student: Outputs,
        outputs: Outputs,
        targets: Targets,
        behind: Sequence[str],
    ) -> dict[str, Tensor]:
        pairs = {
            stage: [
                (
                    coarse(student.features[mine], self.grid),
                    coarse(outputs.features[theirs], self.grid),
                )
                for mine, theirs in self._matched.pairs[name][stage]
            ]
            for stage in self._stages
        }
        mapped = self._map(name, pairs)
        distances = self._measure(mapped)
        weights = self._weigh(row, distances)
        terms: dict[str, Tensor] = {}
        if 'correlation' in self._on:
            chosen = mapped if self.correlation == 'pearson' else pairs
            correlate = _CORRELATE[self.correlation]
            values = {
                stage: torch.stack([correlate(*pair) for pair in chosen[stage]]).mean()
                for stage in self._stages
            }
            terms['correlation'] = _mean(values, weights)
        if 'combination' in self._on:
            values = {
                stage: self._combine(name, stage, student, outputs, targets)
                for stage in behind
            }
            terms['combination'] = _mean(values, weights)
        if 'distribution' in self._on:
            terms['distribution'] = _mean(distances, weights)
        # keeps a connector whose hybrid was not drawn in the graph: every parameter
        # must get a gradient
        terms[self._on[0]] = terms[self._on[0]] + 0 * sum(
            parameter.sum()
            for stage in mapped
            for parameter in self.connectors[name][stage].parameters()
        )
        for i, stage in enumerate(self.names):
            if stage in distances:
                terms[f'distance_{stage}'] = self.distances[row, i].clone()
                terms[f'weight_{stage}'] = weights[stage]
        return terms

    def _map(self, name: str, pairs: Mapping[str, Pairs]) -> dict[str, Pairs]:
        """The pairs in the teacher's channels, at equal size; empty if not needed."""
        if not self._connected:
            return {}
        mapped: dict[str, Pairs] = {}
        for stage, features in pairs.items():
            mapped[stage] = []
            for connector, (mine, theirs) in zip(
                self.connectors[name][stage], features
            ):
                mine, theirs = match_size(mine, theirs)
                mapped[stage].append((connector(mine), theirs))
        return mapped

    def _measure(self, mapped: Mapping[str, Pairs]) -> dict[str, Tensor]:
        """The distance of the distributions at each substage."""
        if 'distribution' not in self._on and self.weighting == 'fixed':
            return {}
        with torch.set_grad_enabled('distribution' in self._on):
            return {
                stage: torch.stack([self._apart(*pair) for pair in pairs]).mean()
                for stage, pairs in mapped.items()
            }

    def _apart(self, mine: Tensor, theirs: Tensor) -> Tensor:
        """The distance of the distributions of two features."""
        if self.distance == 'gaussian':
            own, other = (channel_moments(x, _average) for x in (mine, theirs))
            return gaussian_distance(own, other)
        rows = [gather(x.float().mean((2, 3, 4))) for x in (theirs, mine)]
        return mmd(rows[0], rows[1])

    def _weigh(self, row: int, distances: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Smooth the distances, and weigh the substages by them."""
        for i, stage in enumerate(self.names):
            if self.training and stage in distances:
                past, new = self.distances[row, i], distances[stage].detach()
                smooth = torch.lerp(new.to(past.dtype), past, self.momentum)
                now = torch.where(past < 0, new, smooth)
                # a step that overflows in half precision is skipped, not remembered
                self.distances[row, i] = torch.where(new.isfinite(), now, past)
        chosen = [self.names.index(stage) for stage in self._stages]
        known = torch.stack([self.distances[row, i] for i in chosen])
        if self.weighting == 'fixed':
            known = torch.ones_like(known)
        # if nothing is known yet, or all agree already, all weigh the same
        known = known.clamp_min(0) + 1e-8
        return dict(zip(self._stages, known / known.mean()))

    def _combine(
        self,
        name: str,
        stage: str,
        student: Outputs,
        outputs: Outputs,
        targets: Targets,
    ) -> Tensor:
        """Loss of the hybrid network that switches to the teacher after ``stage``.

        Raises:
            ValueError: for blended labels.
        """
        given = {}
        taps = self._matched.pairs[name][stage]
        for (mine, tap), connector in zip(taps, self.connectors[name][stage]):
            whole = outputs.features[tap]
            own, _ = match_size(student.features[mine], whole)
            given[tap] = to_size(connector(own), whole.shape[2:]).to(whole.dtype)
        assert outputs.hybrid is not None
        logits = outputs.hybrid(given).float()
        divergence = kd_loss(logits, outputs.logits.float(), self.temperature)
        loss = self.kd_weight * clip_mean(divergence)
        if not self.ce_weight:
            return loss
        labels = targets.one_per_clip("the hybrid's cross-entropy (ce_weight)")
        label = labels.clamp_min(0) if targets.soft is None else targets.soft
        entropy = F.cross_entropy(logits, label, reduction='none')
        return loss + self.ce_weight * clip_mean(entropy, labels >= 0)


def _average(moment: Tensor) -> Tensor:
    """Mean of a vector over all processes."""
    return gather(moment[None]).mean(dim=0)


def _mean(values: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([weights[stage] * x for stage, x in values.items()]).mean()


def _chosen(
    what: str, names: Optional[Sequence[str]], known: Sequence[str], default: Any
) -> tuple[str, ...]:
    """``names`` in the order of ``known``, or the default."""
    for name in names or ():
        if name not in known:
            raise ValueError(f"{what}: '{name}' is not one of {', '.join(known)}")
    return tuple(default) if names is None else tuple(n for n in known if n in names)
