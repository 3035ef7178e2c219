"""Head on temporal spectra: how much features change over time, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import torch
from torch import Tensor, nn

from mmvkd.models.connectors import coarse, match_size
from mmvkd.models.gather import clip_mean
from mmvkd.models.heads.base import DistillationHead, TapConfig, chosen_terms
from mmvkd.models.losses import (
    spectrum_amplitude,
    spectrum_coherence,
    spectrum_energy,
)
from mmvkd.models.losses.numerics import check_share
from mmvkd.models.outputs import ModelCard, Outputs, Targets
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
        if grid < 1:
            raise ValueError(f'SpectrumHead: grid is 1 or more, got {grid}')
        check_share(static_weight, 'static_weight')
        self.terms = chosen_terms(self, terms or _DEFAULT, tuple(_TERMS))
        self.connector = dict(connector or dict(type='mmvkd.ConvConnector'))
        self.settings: dict[str, Any] = dict(static_weight=static_weight, bands=bands)
        self.grid = grid
        self.connectors = nn.ModuleDict()

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Build the connectors.

        Raises:
            ValueError: if a feature has a single frame.
        """
        own = _moving(student, self.tap_of())
        for name, card in teachers.items():
            theirs = _moving(card, self.tap_of(name))
            if set(self.terms) != {_ANY_CHANNELS}:
                self.connectors[name] = MODELS.build(
                    dict(self.connector, in_channels=own, out_channels=theirs)
                )

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The terms, averaged over the teachers.

        Raises:
            ValueError: if a feature of these clips has a single frame.
        """
        feature = coarse(student.features[self.tap_of()], self.grid)
        if feature.shape[2] < 2:
            raise ValueError(_still(self.tap_of(), 'student', feature.shape[2]))
        found: dict[str, list[Tensor]] = {term: [] for term in self.terms}
        for name, outputs in teachers.items():
            # sizes first: the connector then works on the smaller map
            theirs = coarse(outputs.features[self.tap_of(name)], self.grid)
            if theirs.shape[2] < 2:
                raise ValueError(_still(self.tap_of(name), name, theirs.shape[2]))
            plain, target = match_size(feature, theirs)
            if name in self.connectors:
                mapped = self.connectors[name](plain)
            for term, values in found.items():
                own = plain if term == _ANY_CHANNELS else mapped
                values.append(clip_mean(_TERMS[term](own, target, **self.settings)))
        return {term: torch.stack(values).mean() for term, values in found.items()}


def _moving(card: ModelCard, tap: str) -> int:
    """Channels of a tap.

    Raises:
        ValueError: if it has a single frame.
    """
    channels, frames = card.shapes[tap][:2]
    if frames < 2:
        raise ValueError(_still(tap, card.name, frames))
    return channels


def _still(tap: str, name: str, frames: int) -> str:
    return (
        f"SpectrumHead: tap '{tap}' of '{name}' has {frames} frame, and "
        'motion needs 2; tap a module before time is pooled, load longer clips, or '
        "keep the frames of a CachedTeacher: pool='space'"
    )
