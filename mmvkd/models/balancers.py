"""Balancers: turn the terms into the ``loss_*`` entries of one objective."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmvkd.registry import MODELS


@MODELS.register_module()
class FixedBalancer(nn.Module):
    r"""A sum with fixed weights.

    .. math:: L = w_{cls} L_{cls} + \sum_i w_i L_i

    Args:
        cls_weight: :math:`w_{cls}`, of every loss of the student's own head.
    """

    def __init__(self, cls_weight: float = 1.0) -> None:
        super().__init__()
        self.cls_weight = cls_weight

    def forward(
        self,
        own: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Entries of the objective, and the student's own log entries.

        Args:
            own: What the student's head returned; its losses are those with ``loss``
                in their name.
            terms: Terms of the heads.
            weights: :math:`w_i` of each term, the ``loss_weight`` of its head.
        """
        entries = {
            name: self.cls_weight * value if 'loss' in name else value
            for name, value in own.items()
        }
        for name, value in terms.items():
            entries[f'loss_{name}'] = weights[name] * value
        return entries
