"""Heads on logits: KD, z-scored KD, DIST, DKD."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmvkd.models.gather import clip_mean, gather
from mmvkd.models.heads.base import LogitsHead
from mmvkd.models.losses import (
    dist_inter,
    dist_intra,
    dkd_loss,
    kd_loss,
    zscore_kd_loss,
)
from mmvkd.models.losses.numerics import check_at_least, check_positive
from mmvkd.models.outputs import Targets
from mmvkd.registry import MODELS


@MODELS.register_module()
class KDHead(LogitsHead):
    """Divergence of softened distributions (Hinton et al., arXiv 1503.02531).

    Args:
        temperature: Softens both distributions.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    divergence = staticmethod(kd_loss)

    def __init__(self, temperature: float = 4.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(temperature, 'temperature')
        self.temperature = temperature

    def compare(
        self, student: Tensor, teacher: Tensor, targets: Targets
    ) -> dict[str, Tensor]:
        """One term."""
        return {'': clip_mean(self.divergence(student, teacher, self.temperature))}


@MODELS.register_module()
class ZScoreKDHead(KDHead):
    """KD on logits of mean 0 and variance 1 in each clip (arXiv 2403.01427).

    Its authors' code gives it ``loss_weight=9``, which measured better than 1.

    Args:
        temperature: Base temperature, after standardization.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    divergence = staticmethod(zscore_kd_loss)
    constant_with_two = 'all of it, as standardized logits are always ±1,'

    def __init__(self, temperature: float = 2.0, **kwargs: Any) -> None:
        super().__init__(temperature, **kwargs)


@MODELS.register_module()
class DISTHead(LogitsHead):
    """Correlation within clips and within classes (DIST, arXiv 2205.10536).

    The relation within classes spans clips, so it is computed on the global batch.

    Args:
        temperature: Softens both distributions.
        inter_weight: Weight of the relation among classes, within each clip.
        intra_weight: Weight of the relation among clips, within each class.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        inter_weight: float = 1.0,
        intra_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive(temperature, 'temperature')
        check_at_least(0, inter_weight, 'inter_weight')
        check_at_least(0, intra_weight, 'intra_weight')
        self.temperature = temperature
        self.terms = dict(inter=inter_weight, intra=intra_weight)
        self.constant_with_two = 'its term inter' if inter_weight else ''

    def compare(
        self, student: Tensor, teacher: Tensor, targets: Targets
    ) -> dict[str, Tensor]:
        """Terms ``inter`` and ``intra``."""
        # the paper's factor: gradients as large as those of the classification loss
        scale = self.temperature**2
        inter = clip_mean(dist_inter(student, teacher, self.temperature))
        intra = dist_intra(gather(student), gather(teacher), self.temperature).mean()
        return dict(inter=scale * inter, intra=scale * intra)


@MODELS.register_module()
class DKDHead(LogitsHead):
    """Divergence at the label and among the other classes (DKD, arXiv 2203.08679).

    Clips without a label are left out.

    Args:
        alpha: Weight of the divergence of the label against the rest.
        beta: Weight of the divergence of the other classes among themselves.
        temperature: Softens both distributions.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    label_terms = ('',)

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_at_least(0, alpha, 'alpha')
        check_at_least(0, beta, 'beta')
        check_positive(temperature, 'temperature')
        self.alpha = alpha
        self.beta = beta
        self.constant_with_two = 'its part beta' if beta else ''
        self.temperature = temperature

    def compare(
        self, student: Tensor, teacher: Tensor, targets: Targets
    ) -> dict[str, Tensor]:
        """One term.

        Raises:
            ValueError: for blended labels.
        """
        labels = targets.one_per_clip('DKDHead')
        loss = dkd_loss(
            student, teacher, labels, self.alpha, self.beta, self.temperature
        )
        return {'': clip_mean(loss, labels >= 0)}
