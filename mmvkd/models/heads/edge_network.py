"""Edges that are learned from labels: how far each teacher is trusted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmvkd.models.gather import clip_mean
from mmvkd.models.heads.base import of_label


class EdgeNetwork(nn.Module):
    r"""Trust in each teacher, given what it predicts for the clip.

    .. math:: a_{nk} = \mathrm{softmax}_k\Big(s\,\big(b_k +
              \sum_m W_{km}\,p_{nkm}\big)\Big)

    with :math:`p_{nkm}` the probability that teacher k gives class m, :math:`b_k` the
    general trust in it, and :math:`W_{km}` a correction for when it predicts class m.
    Uniform at first; trained by :meth:`loss`. Among equally good teachers it may drift
    to one, with large steps of few clips.

    Args:
        teachers: K.
        num_classes: M.
        gain: :math:`s`. The speed of learning grows with its square; at learning rates
            that suit a student, edges need it to drop a teacher within an epoch.
    """

    def __init__(self, teachers: int, num_classes: int, gain: float = 10.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(teachers))
        self.weight = nn.Parameter(torch.zeros(teachers, num_classes))
        self.gain = gain

    def forward(self, logits: Tensor) -> Tensor:
        """Logarithm of the trust (N, K), from the teachers' logits (N, K, M)."""
        with torch.autocast(logits.device.type, enabled=False):
            score = self.bias + (self.weight * logits.softmax(-1)).sum(-1)
            return (self.gain * score).log_softmax(-1)

    @staticmethod
    def loss(log_trust: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Cross-entropy of :math:`\sum_k a_k p_k`, over the labeled clips.

        Args:
            log_trust: From :meth:`forward`, (N, K).
            logits: Of the teachers, softened, (N, K, M).
            labels: (N,), -1 for none.
        """
        # [N, K]
        log_p = of_label(logits.log_softmax(-1), labels)
        return clip_mean(-(log_trust + log_p).logsumexp(1), labels >= 0)
