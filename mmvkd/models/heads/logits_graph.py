"""The logits graph: teachers are vertices, the student matches them jointly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from mmvkd.models.gather import clip_mean, gather
from mmvkd.models.heads.base import DistillationHead, check_classes, of_label
from mmvkd.models.heads.edge_network import EdgeNetwork
from mmvkd.models.losses import (
    binary_transport,
    default_epsilon,
    prototype_cost,
    sinkhorn,
    sinkhorn_barycenter,
)
from mmvkd.models.losses.ground_cost import METRICS
from mmvkd.models.losses.numerics import (
    check_at_least,
    check_known,
    check_positive,
    check_share,
)
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.teachers import Teacher
from mmvkd.registry import MODELS

_EDGES = ('uniform', 'confidence', 'learned')
_COSTS = ('prototype', 'binary')
_MOMENTUM = 0.9


@MODELS.register_module()
class LogitsGraphHead(DistillationHead):
    r"""Matches the student to a graph of teachers by optimal transport.

    After arXiv 1804.10069; our reading. With :math:`p_k` the softened distribution of
    teacher k, edges among teachers mix them,
    :math:`\tilde p_k = \sum_j A_{kj} p_j`, and edges to the student weight the match:

    .. math:: L = \frac{\tau^2}N \sum_n \sum_k a_k\,\mathrm{OT}_D(\tilde p_k, q)

    or, with ``barycenter``, the match with the distribution nearest to all vertices:

    .. math:: L = \frac{\tau^2}N \sum_n \mathrm{OT}_D(\nu, q),\quad
              \nu = \arg\min_\nu \sum_k a_k\,\mathrm{OT}_D(\tilde p_k, \nu)

    Learned edges minimize the cross-entropy of :math:`\sum_k a_k\tilde p_k` on labeled
    clips, a separate term ``edges``, and are constants in the match: edges that
    minimized the match would trust the teacher nearest to the untrained student, that
    is, one that knows nothing. Off the diagonal, each row of :math:`A` is proportional
    to :math:`a`.

    Args:
        temperature: :math:`\tau`, softens all distributions. The factor
            :math:`\tau^2` keeps the size of gradients, as in KD; with
            ``cost='binary'``, which is proportional to a distance rather than to its
            square, the factor is :math:`\tau`.
        edges: ``uniform``: :math:`a_k = 1/K`, and a self-loop in :math:`A`;
            ``confidence``: per clip, by the teachers' cross-entropy on the label, or by
            their entropy where there is none; ``learned``: per clip, by an
            :class:`~mmvkd.models.heads.edge_network.EdgeNetwork`.
        self_loop: The diagonal of :math:`A` under uniform trust; ½ + ½/K if None.
            Without a self-loop all :math:`\tilde p_k` would be equal: a plain mean.
        barycenter: Match the barycenter of the vertices instead of each vertex.
        cost: Ground cost D: ``prototype``, the distance between the teachers'
            normalized classifier rows; ``binary``, 0 or 1, in closed form.
        metric: Distance of prototypes: ``euclidean`` or ``cosine``.
        epsilon: Entropic regularization, in units of D; 0.2 times the median
            off-diagonal cost if None.
        max_iter: Maximum number of Sinkhorn iterations.
        tol: L1 marginal error to stop at.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    one_way = 'its edges weigh several teachers'
    diagnostics: Sequence[str] = ('marginal_error', 'iterations')
    cost_matrix: Tensor
    trust_by_class: Tensor

    def __init__(
        self,
        temperature: float = 4.0,
        edges: str = 'uniform',
        self_loop: Optional[float] = None,
        barycenter: bool = False,
        cost: str = 'prototype',
        metric: str = 'euclidean',
        epsilon: Optional[float] = None,
        max_iter: int = 500,
        tol: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_known('edges', edges, _EDGES)
        check_known('cost', cost, _COSTS)
        check_positive(temperature, 'temperature')
        check_known('metric', metric, METRICS)
        if self_loop is not None:
            check_share(self_loop, 'self_loop')
        if epsilon is not None:
            check_positive(epsilon, 'epsilon')
        check_at_least(1, max_iter, 'max_iter')
        check_positive(tol, 'tol')
        if barycenter and cost == 'binary':
            raise ValueError(
                "cost='binary' is matched in closed form, vertex by vertex; a "
                "barycenter needs cost='prototype'"
            )
        self.temperature = temperature
        self.edges = edges
        self.inner_terms = ('edges',) if edges == 'learned' else ()
        self.label_terms = self.inner_terms
        self.terms = ('', *self.inner_terms)
        self.self_loop = self_loop
        self.barycenter = barycenter
        self.cost = cost
        self.metric = metric
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.tol = tol

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Refuse models whose logits do not compare, and build the edge network."""
        check_classes(type(self).__name__, student, teachers, 'use a feature head')
        count = len(teachers)
        if count > 1 and self.self_loop is not None and self.self_loop < 1 / count:
            raise ValueError(
                f'self_loop={self.self_loop} is less than an equal share of '
                f'{count} teachers, {1 / count:.3g}; at that share each vertex is the '
                'mean of all'
            )
        if self.cost == 'prototype':
            # here, before it is known: an average of models pairs buffers by position
            cost = torch.zeros(student.num_classes, student.num_classes)
            self.register_buffer('cost_matrix', cost, persistent=False)
        if self.edges == 'learned':
            self.edge_network = EdgeNetwork(count, student.num_classes)
        if self.edges != 'uniform':
            # running means over the clips of each class, for inspecting the run
            trust = torch.full((count, student.num_classes), 1 / count)
            self.register_buffer('trust_by_class', trust)
        logged = (f'trust_{name}' for name in teachers)
        self.diagnostics = (*type(self).diagnostics, *logged)

    def prepare(self, teachers: Mapping[str, Teacher]) -> None:
        """Compute the ground cost from the teachers' classifiers.

        Raises:
            ValueError: if a teacher has no linear classifier.
        """
        if self.cost == 'binary':
            return
        rows = []
        for name, teacher in teachers.items():
            classifier = getattr(teacher, 'classifier', None)
            if classifier is None:
                raise ValueError(
                    f"teacher '{name}' has no linear classifier to take prototypes "
                    "from; set cost='binary'"
                )
            rows.append(classifier)
        cost = prototype_cost(rows, self.metric)
        self.cost_matrix = cost.float().to(rows[0].device)
        if self.epsilon is None:
            self.epsilon = default_epsilon(self.cost_matrix)

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The matching term, the term of learned edges, and diagnostics.

        Diagnostics are the mean trust in each teacher and, with ``prototype``, how
        well the solver converged.

        Raises:
            ValueError: if edges are to be learned from blended labels.
        """
        q = (student.logits.float() / self.temperature).softmax(-1)
        # [N, K, M]
        logits = torch.stack([t.logits.float() for t in teachers.values()], dim=1)
        # [N, K]
        log_trust = self._log_trust(logits, targets)
        among, to_student = self._edges(log_trust.detach())
        # [N, K, M]
        with torch.autocast(logits.device.type, enabled=False):
            vertices = among @ (logits / self.temperature).softmax(-1)
        terms = self._match(vertices, to_student, q)
        if self.edges == 'learned':
            # every row of A distributes what it does not keep by the same trust, so
            # the mixture of the vertices equals that of the teachers
            labels = targets.one_per_clip("edges='learned'")
            terms['edges'] = self.edge_network.loss(
                log_trust, logits / self.temperature, labels
            )
        if self.training and self.edges != 'uniform' and targets.labels is not None:
            self._remember(to_student, targets.labels)
        mean = to_student.mean(0)
        return {**terms, **{f'trust_{t}': mean[k] for k, t in enumerate(teachers)}}

    def _match(self, vertices: Tensor, trust: Tensor, q: Tensor) -> dict[str, Tensor]:
        """The matching term of vertices (N, K, M) and the student's q (N, M)."""
        if self.cost == 'binary':
            # [N, K]
            apart = binary_transport(*_pairs(vertices, q)).view_as(trust)
            return {'': self.temperature * clip_mean((trust * apart).sum(1))}
        scale = self.temperature**2
        solver: Any = dict(
            cost=self.cost_matrix,
            epsilon=self.epsilon,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        errors, iterations = [], []
        if self.barycenter:
            center = sinkhorn_barycenter(vertices, trust, **solver)
            errors.append(center.error.max())
            iterations.append(center.iterations.max())
            vertices, trust = center.rows[:, None], torch.ones_like(trust[:, :1])
        result = sinkhorn(*_pairs(vertices, q), **solver)
        errors.append(result.error.max())
        iterations.append(result.iterations.max())
        return {
            '': scale * clip_mean((trust * result.divergence.view_as(trust)).sum(1)),
            'marginal_error': torch.stack(errors).max(),
            'iterations': torch.stack(iterations).sum().float(),
        }

    def _log_trust(self, logits: Tensor, targets: Targets) -> Tensor:
        """Logarithm of the trust in each teacher (N, K), from logits (N, K, M)."""
        if self.edges == 'uniform':
            return torch.zeros_like(logits[..., 0]).log_softmax(-1)
        if self.edges == 'confidence':
            return _confidence(logits, targets).log_softmax(-1)
        return self.edge_network(logits)

    def _edges(self, log_trust: Tensor) -> tuple[Tensor, Tensor]:
        """Edges among teachers (N, K, K), rows of sum 1, and to the student (N, K)."""
        trust, k = log_trust.exp(), log_trust.shape[1]
        # by default a self-loop of ½ + ½ trust; the others get the rest by their trust
        eye = torch.eye(k, device=trust.device)
        loop = 0.5 if self.self_loop is None or k == 1 else _share(self.self_loop, k)
        among = loop * eye + (1 - loop) * trust[:, None, :]
        return among, trust

    @torch.no_grad()
    def _remember(self, trust: Tensor, labels: Tensor) -> None:
        """Update the means of each class with the trust (N, K) in the global batch."""
        trust, labels = gather(trust), gather(labels)
        classes = torch.arange(self.trust_by_class.shape[1], device=labels.device)
        # [N, M]
        of_class = (labels[:, None] == classes).float()
        count = of_class.sum(0)
        with torch.autocast(trust.device.type, enabled=False):
            mean = trust.T @ of_class / count.clamp_min(1)
        now = self.trust_by_class.lerp(mean, (1 - _MOMENTUM) * (count > 0))
        # an overflow would stay forever, though mixed precision skips its step
        whole = now.isfinite().all()
        self.trust_by_class.copy_(torch.where(whole, now, self.trust_by_class))


def _pairs(vertices: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N·K, M) of the vertices, and the student's row for each of them."""
    return vertices.flatten(0, 1), q.repeat_interleave(vertices.shape[1], dim=0)


def _share(self_loop: float, k: int) -> float:
    """The share of the identity that gives this self-loop under uniform trust."""
    return (self_loop - 1 / k) / (1 - 1 / k)


def _confidence(logits: Tensor, targets: Targets) -> Tensor:
    """Minus the cross-entropy (N, K), or minus the entropy of unlabeled clips."""
    log_p = logits.log_softmax(-1)
    # [N, K]
    doubt = -(log_p.exp() * log_p).sum(-1)
    if targets.labels is not None:
        known = (targets.labels >= 0)[:, None]
        doubt = torch.where(known, -of_label(log_p, targets.labels), doubt)
    return -doubt
