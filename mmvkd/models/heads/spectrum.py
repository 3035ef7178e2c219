"""Head on temporal spectra: how much features change over time, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from torch import Tensor, nn

from mmvkd.models.connectors import build_connector
from mmvkd.models.gather import clip_mean
from mmvkd.models.heads.base import (
    DistillationHead,
    TapConfig,
    chosen_terms,
    mean_terms,
)
from mmvkd.models.losses import (
    spectrum_amplitude,
    spectrum_coherence,
    spectrum_energy,
)
from mmvkd.models.losses.numerics import check_at_least, check_share
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.resizing import coarse, match_size
from mmvkd.registry import MODELS

_TERMS: dict[str, Callable[..., Tensor]] = dict(
    amplitude=spectrum_amplitude,
    coherence=spectrum_coherence,
    energy=spectrum_energy,
)
# what measured best
_DEFAULT = dict(amplitude=1.0, coherence=1.0)
# the term that sums over channels before comparing
_ANY_CHANNELS = 'energy'


@MODELS.register_module()
class SpectrumHead(DistillationHead):
    """Matches the temporal frequency spectrum of a feature.

    After arXiv 2009.06902; our reading. Features of different sizes are resampled
    first: the student's in time, the larger one in space. For several taps, use several
    heads.

    Args:
        tap: The student's module.
        terms: Weight by term. ``amplitude``: how much each channel moves, after a
            connector; ``energy``: how much each position moves, without one; both are
            blind to the direction of time. ``coherence``: when features change, after
            the connector. ``dict(amplitude=1.0, coherence=1.0)`` if None.
        connector: Config of the connector, one for each teacher.
        static_weight: Share of the mean over time (f = 0) against all motion, 0 to 1.
        bands: A factor for each frequency of motion, 1, 2, … cycles per clip: half as
            many as the teacher's feature has frames, and also as the student's has if
            the teacher learns (``mutual``). All equal if None.
        grid: Side to which larger maps are pooled first: what counts as motion is what
            a quarter of the picture does, and spectra of every position cost more than
            a tenth of a step.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.

    Raises:
        ValueError: for an unknown term, no term, or a grid below 1.
    """

    terms: dict[str, float]

    def __init__(
        self,
        tap: TapConfig,
        terms: Optional[Mapping[str, float]] = None,
        connector: Optional[Mapping[str, Any]] = None,
        static_weight: float = 0.25,
        bands: Optional[Sequence[float]] = None,
        grid: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(tap=tap, **kwargs)
        check_at_least(1, grid, 'grid')
        check_share(static_weight, 'static_weight')
        self.terms = chosen_terms(terms or _DEFAULT, tuple(_TERMS))
        self.connector = connector
        self.settings: dict[str, Any] = dict(static_weight=static_weight, bands=bands)
        self.grid = grid
        self.connectors = nn.ModuleDict()

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Build the connectors.

        Raises:
            ValueError: if a feature has a single frame.
        """
        own = student.shapes[self.tap_of()]
        self._require_motion(own[1])
        for name, card in teachers.items():
            theirs = card.shapes[self.tap_of(name)]
            self._require_motion(theirs[1], name)
            if set(self.terms) != {_ANY_CHANNELS}:
                self.connectors[name] = build_connector(self.connector, own, theirs)

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The terms, averaged over the teachers.

        Raises:
            ValueError: if a feature of these clips has a single frame.
        """
        feature = self._feature(student)
        each = []
        for name, outputs in teachers.items():
            # sizes first: the connector then works on the smaller map
            plain, target = match_size(feature, self._feature(outputs, name))
            mapped = self.connectors[name](plain) if name in self.connectors else plain
            terms = {}
            for term in self.terms:
                own = plain if term == _ANY_CHANNELS else mapped
                terms[term] = clip_mean(_TERMS[term](own, target, **self.settings))
            each.append(terms)
        return mean_terms(each)

    def _feature(self, outputs: Outputs, teacher: Optional[str] = None) -> Tensor:
        """The pooled feature of a teacher, or of the student if it is None."""
        feature = coarse(outputs.features[self.tap_of(teacher)], self.grid)
        self._require_motion(feature.shape[2], teacher)
        return feature

    def _require_motion(self, frames: int, teacher: Optional[str] = None) -> None:
        """Refuse a feature of a single frame."""
        if frames < 2:
            raise ValueError(
                f"tap '{self.tap_of(teacher)}' of "
                f"'{teacher or 'student'}' has {frames} frame, and motion needs 2; tap "
                'a module before time is pooled, load longer clips, or keep the frames '
                "of a CachedTeacher: pool='space'"
            )
