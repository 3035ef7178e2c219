"""The logits graph: teachers are vertices, the student matches them jointly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import torch
from torch import Tensor

from mmvkd.models.gather import clip_mean
from mmvkd.models.heads.base import LogitsHead
from mmvkd.models.losses import (
    binary_transport,
    check_conditionally_negative_definite,
    default_epsilon,
    prototype_cost,
    sinkhorn,
)
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.teachers import Teacher
from mmvkd.registry import MODELS

_EDGES = ('uniform', 'confidence')
_COSTS = ('prototype', 'binary')


@MODELS.register_module()
class LogitsGraphHead(LogitsHead):
    r"""Matches the student to a graph of teachers by optimal transport.

    After arXiv 1804.10069; our reading. With :math:`p_k` the softened distribution of
    teacher k, edges among teachers mix them,
    :math:`\tilde p_k = \sum_j A_{kj} p_j`, and edges to the student weigh the match:

    .. math:: L = \frac1N \sum_n \sum_k a_k\,\mathrm{OT}_D(\tilde p_k, q)

    Args:
        temperature: :math:`\tau`, softens all distributions.
        edges: ``uniform``: :math:`a_k = 1/K`, and a self-loop in :math:`A`;
            ``confidence``: per clip, by the teachers' cross-entropy on the label, or by
            their entropy where there is none.
        self_loop: The diagonal of :math:`A`; ½ + ½/K if None. Without it the
            :math:`\tilde p_k` would all be equal, and the graph a mean.
        cost: Ground cost D: ``prototype``, the distance of the teachers' normalized
            classifier rows; ``binary``, 0 or 1, in closed form.
        metric: Of prototypes: ``euclidean`` or ``cosine``.
        epsilon: Entropic regularization, in units of D; 0.2 times the median
            off-diagonal cost if None.
        max_iter: Most Sinkhorn iterations.
        tol: L1 marginal error to stop at.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    diagnostics = ('marginal_error', 'iterations')
    cost_matrix: Tensor

    def __init__(
        self,
        temperature: float = 4.0,
        edges: str = 'uniform',
        self_loop: Optional[float] = None,
        cost: str = 'prototype',
        metric: str = 'euclidean',
        epsilon: Optional[float] = None,
        max_iter: int = 500,
        tol: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for value, known in ((edges, _EDGES), (cost, _COSTS)):
            if value not in known:
                raise ValueError(f"'{value}' is unknown; known: {', '.join(known)}")
        if self_loop is not None and not 0 <= self_loop <= 1:
            raise ValueError(f'self_loop is a share in [0, 1], got {self_loop}')
        self.temperature = temperature
        self.edges = edges
        self.self_loop = self_loop
        self.cost = cost
        self.metric = metric
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.tol = tol
        self.register_buffer('cost_matrix', None, persistent=False)

    def prepare(self, teachers: Mapping[str, Teacher]) -> None:
        """Compute the ground cost from the teachers' classifiers.

        Raises:
            ValueError: if a teacher has no linear classifier.
        """
        if self.cost == 'binary':
            return
        rows = []
        for name, teacher in teachers.items():
            if teacher.classifier is None:
                raise ValueError(
                    f"teacher '{name}' has no linear classifier to take prototypes "
                    "from; set cost='binary'"
                )
            rows.append(teacher.classifier)
        cost = prototype_cost(rows, self.metric)
        check_conditionally_negative_definite(cost)
        if self.epsilon is None:
            self.epsilon = default_epsilon(cost)
        self.cost_matrix = cost.float().to(rows[0].device)

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The matching term; with ``prototype`` also how the solver converged."""
        q = (student.logits.float() / self.temperature).softmax(-1)
        # [N, K, M]
        logits = torch.stack([t.logits.float() for t in teachers.values()], dim=1)
        p = (logits / self.temperature).softmax(-1)
        among, to_student = self._edges(logits, targets)
        # [N, K, M]
        vertices = among @ p
        k = p.shape[1]
        # [N·K, M]
        flat, matched = vertices.flatten(0, 1), q.repeat_interleave(k, dim=0)
        extra = {}
        if self.cost == 'binary':
            distance = binary_transport(flat, matched)
        else:
            result = sinkhorn(
                flat, matched, self.cost_matrix, self.epsilon, self.max_iter, self.tol
            )
            distance = result.divergence
            extra = dict(
                marginal_error=result.error.max(),
                iterations=result.iterations.max().float(),
            )
        # [N, K]
        distance = distance.unflatten(0, (-1, k))
        return {'': clip_mean((to_student * distance).sum(1)), **extra}

    def _edges(self, logits: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Edges among teachers (N, K, K), rows of sum 1, and to the student (N, K)."""
        n, k, _ = logits.shape
        if self.edges == 'uniform':
            trust = logits.new_full((n, k), 1 / k)
        else:
            trust = _confidence(logits, targets)
        # a self-loop of ½ + ½ trust; the rest goes to the others by their trust
        eye = torch.eye(k, device=logits.device)
        loop = 0.5 if self.self_loop is None or k == 1 else _share(self.self_loop, k)
        among = loop * eye + (1 - loop) * trust[:, None, :]
        return among, trust


def _share(self_loop: float, k: int) -> float:
    """The share of the identity that gives this diagonal under uniform trust."""
    return max(0.0, (self_loop - 1 / k) / (1 - 1 / k))


def _confidence(logits: Tensor, targets: Targets) -> Tensor:
    """Trust (N, K): softmax of minus the cross-entropy, or entropy without a label."""
    log_p = logits.log_softmax(-1)
    # [N, K]
    doubt = -(log_p.exp() * log_p).sum(-1)
    if targets.labels is not None:
        index = targets.labels.clamp_min(0)[:, None, None].expand(-1, log_p.shape[1], 1)
        known = (targets.labels >= 0)[:, None]
        doubt = torch.where(known, -log_p.gather(2, index).squeeze(2), doubt)
    return (-doubt).softmax(-1)
