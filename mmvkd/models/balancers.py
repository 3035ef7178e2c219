"""Balancers: turn the terms into the ``loss_*`` entries of one objective."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Optional

import torch
from torch import Tensor, nn

from mmvkd.models.gather import gather
from mmvkd.models.losses.numerics import check_at_least, check_known, check_positive
from mmvkd.registry import MODELS


@MODELS.register_module()
class FixedBalancer(nn.Module):
    r"""A sum with fixed weights.

    .. math:: L = w_{cls} L_{cls} + \sum_i w_i L_i

    Args:
        cls_weight: :math:`w_{cls}`, weight of every loss of the student's own head.
    """

    def __init__(self, cls_weight: float = 1.0) -> None:
        super().__init__()
        check_at_least(0, cls_weight, 'cls_weight')
        self.cls_weight = cls_weight

    def attach(self, terms: Sequence[str], of_labels: Collection[str] = ()) -> None:
        """Receive the names of the heads' terms, before the optimizer is built.

        Args:
            terms: All terms.
            of_labels: Those of them that are zero in a batch without any label.
        """

    def focus(self, terms: Collection[str]) -> None:
        """Expect these terms only, ``cls`` among them if the label losses count."""

    def forward(
        self,
        own: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Entries of the objective, and the student's own log entries.

        Args:
            own: What the student's head returned; entries with ``loss`` in their name
                are its losses.
            terms: Terms of the heads.
            weights: :math:`w_i` of each term.
        """
        entries = {
            name: self.cls_weight * value if 'loss' in name else value
            for name, value in own.items()
        }
        for name, value in terms.items():
            entries[f'loss_{name}'] = weights[name] * value
        return entries


@MODELS.register_module()
class UncertaintyBalancer(nn.Module):
    r"""Maximum a posteriori: each term is a likelihood with a learned noise scale.

    After arXiv 2009.06902; our reading.

    .. math:: L = \sum_i w_i\left(\tfrac12 e^{-s_i} L_i + \tfrac12 s_i\right)

    The classification, which is the sum of the student's own losses, has :math:`i=cls`
    and :math:`w_{cls}=1`. At the optimum :math:`s_i=\log L_i`, so that, apart from
    :math:`w_i`, every term weighs the same. A scale gets there only as fast as its
    learning rate lets it, and only within the limit: a term that is far below one
    weighs less than the others for long. Terms must not be negative.

    With ``anchor='cls'`` the student's gradient is divided by the classification's
    weight, so that the learning-rate schedule means the same as without teachers:
    :math:`L_{cls} + \sum_i w_i e^{s_{cls}-s_i} L_i`. The scales still learn from
    :math:`L`.

    Each step first clamps the scales, as the optimizer left them, to the limit: a clamp
    inside the loss would have no gradient to lead them back. If the global batch has no
    label, terms that need one, such as the classification, say nothing about their
    noise; their scales then have zero gradient and move only by what the optimizer
    remembers.

    Args:
        anchor: ``cls`` or None.
        limit: Largest absolute value of a scale.
        lr_mult: Learning rate of the scales, as a multiple of the base rate; None for 1
            with SGD, at more of which they follow the noise of a step, and 10 with
            other optimizers.

    Raises:
        ValueError: for another anchor, or a limit that is not above 0.
    """

    def __init__(
        self,
        anchor: Optional[str] = 'cls',
        limit: float = 5.0,
        lr_mult: Optional[float] = None,
    ) -> None:
        super().__init__()
        check_known('anchor', anchor, ('cls', None))
        check_positive(limit, 'limit')
        if lr_mult is not None:
            check_at_least(0, lr_mult, 'lr_mult')
        self.anchor = anchor
        self.limit = limit
        self.lr_mult = lr_mult
        self.scales = nn.ParameterDict()

    def attach(self, terms: Sequence[str], of_labels: Collection[str] = ()) -> None:
        """Make a scale for the classification and for each term."""
        self._of_labels = {'cls', *of_labels}
        for name in ('cls', *terms):
            self.scales[name] = nn.Parameter(torch.zeros(()))

    def focus(self, terms: Collection[str]) -> None:
        """Freeze the scales of all others."""
        for name, scale in self.scales.items():
            scale.requires_grad = name in terms

    def forward(
        self,
        own: Mapping[str, Tensor],
        terms: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> dict[str, Tensor]:
        r"""Entries of the objective, the scales, and the student's own log entries.

        The entry ``loss_scales`` is :math:`\tfrac12\sum_i w_i s_i` and has the gradient
        of all scales; the other entries have that of the student alone.

        Args:
            own: See :meth:`FixedBalancer.forward`.
            terms: Likewise.
            weights: Likewise.

        Raises:
            ValueError: for a term that its head did not declare.
        """
        for name in terms:
            if name not in self.scales:
                raise ValueError(
                    f"term '{name}' has no scale: its head names its terms in `terms`; "
                    f'there are scales of {", ".join(self.scales)}'
                )
        with torch.no_grad():
            for scale in self.scales.values():
                scale.clamp_(-self.limit, self.limit)
        label = [value for name, value in own.items() if 'loss' in name]
        values = dict(terms)
        if label:
            values['cls'] = torch.stack(label).sum()
        factors = {n: 0.5 * (-s.detach()).exp() for n, s in self.scales.items()}
        if self.anchor:
            factors = {name: f / factors['cls'] for name, f in factors.items()}
        entries = {
            name: factors['cls'] * value if 'loss' in name else value
            for name, value in own.items()
        }
        for name, value in terms.items():
            entries[f'loss_{name}'] = weights[name] * factors[name] * value
        entries['loss_scales'] = self._of_scales(values, dict(cls=1.0, **weights))
        for name, scale in self.scales.items():
            entries[f'scale_{name}'] = scale.detach().clone()
        return entries

    def _of_scales(
        self, values: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> Tensor:
        """The entry that the scales learn from, over the global batch."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        means = gather(stacked[None]).mean(0)
        # scales that are not frozen must get a gradient, even without a term
        off = [scale for name, scale in self.scales.items() if name not in values]
        total = means.new_zeros(()) + 0 * sum(off)
        for name, mean in zip(values, means):
            scale = self.scales[name]
            fit = 0.5 * (-scale).exp() * mean
            # the value of the fit is in the other entries
            entry = weights[name] * (0.5 * scale + fit - fit.detach())
            if name in self._of_labels:
                entry = entry * (mean > 0)
            total = total + entry
        return total
