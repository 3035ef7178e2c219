"""Heads on features: FitNets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from torch import Tensor, nn

from mmvkd.models.connectors import build_connector
from mmvkd.models.gather import clip_mean
from mmvkd.models.heads.base import DistillationHead, TapConfig, mean_terms
from mmvkd.models.losses import feature_mse
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.resizing import match_size
from mmvkd.registry import MODELS


@MODELS.register_module()
class FitNetsHead(DistillationHead):
    """Mean squared difference of features, after a connector (arXiv 1412.6550).

    It is a mean over channels, too, and small: published code gives it
    ``loss_weight=100``, which measured far better than 1. Beside a cached teacher it
    compares averages over space.

    Args:
        tap: The student's module.
        connector: Config of the connector, one for each teacher.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    def __init__(
        self,
        tap: TapConfig,
        connector: Optional[Mapping[str, Any]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tap=tap, **kwargs)
        self.connector = connector
        self.connectors = nn.ModuleDict()

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Build the connectors."""
        own = student.shapes[self.tap_of()]
        for name, card in teachers.items():
            theirs = card.shapes[self.tap_of(name)]
            self.connectors[name] = build_connector(self.connector, own, theirs)

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """One term, averaged over the teachers."""
        feature = student.features[self.tap_of()]
        each = []
        for name, outputs in teachers.items():
            # sizes first: the connector then works on the smaller map
            mapped, target = match_size(feature, outputs.features[self.tap_of(name)])
            mapped = self.connectors[name](mapped)
            each.append({'': clip_mean(feature_mse(mapped, target))})
        return mean_terms(each)
