"""The representation graph: what pairs of teachers see together, as a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from mmvkd.models.gather import gather
from mmvkd.models.heads.base import DistillationHead, TapConfig, check_classes
from mmvkd.models.heads.edge_network import EdgeNetwork
from mmvkd.models.losses import (
    Sketch,
    bilinear_sketch,
    draw_sketch,
    median_bandwidth,
    mmd,
    paired_mmd,
    signed_root,
    unit_length,
)
from mmvkd.models.losses.numerics import check_at_least, check_known, check_positive
from mmvkd.models.outputs import ModelCard, Outputs, Targets
from mmvkd.models.resizing import pooled
from mmvkd.registry import MODELS

_EDGES = ('uniform', 'learned')
_POOLS = ('clip', 'frame')
_OF_BANDWIDTH = 64  # most rows that the bandwidth is computed from
_LEAST_BANDWIDTH = 1e-2  # of vectors of length 1


@MODELS.register_module()
class RepresentationGraphHead(DistillationHead):
    r"""Matches the student's features to those of every pair of teachers, as samples.

    After arXiv 1804.10069; our reading. Compact bilinear pooling of the features of
    teachers i and j (of one teacher with itself, if it is the only one) gives a vector
    :math:`r_{ij}\in\mathbb R^D` of length one, whatever their channels, for each frame
    or clip. Likewise, the student's feature, averaged over positions and projected for
    each pair, gives :math:`r_S^{ij}`. Over the global batch

    .. math:: L = \sum_{i<j} b_{ij}\,
              \mathrm{MMD}^2\big(\{r_{ij}\}, \{r_S^{ij}\}\big)

    with edges that sum to 1. This ignores the order of the vectors in a sample, so a
    student that mistakes one clip for another would not be corrected. Therefore
    ``joint`` compares the joint distributions of a vector and the frame, or clip, that
    it is from (:func:`~mmvkd.models.losses.paired_mmd`). Each pair needs its own
    projection, because sketches drawn independently share no coordinates. Maps of
    unequal T, H or W are averaged to the smallest; those of a
    :class:`~mmvkd.models.teachers.CachedTeacher` are averages already, and then all
    pairs see maps of that size.

    Learned edges are :math:`b_{ij}\propto\bar a_i\bar a_j`, with :math:`\bar a_i` the
    trust of an :class:`~mmvkd.models.heads.edge_network.EdgeNetwork` in teacher i, its
    mean over the batch. The network's loss is a separate term ``edges``; edges are
    constants in the match.

    Args:
        tap: The student's module.
        dim: D, the length of a sketch.
        pool: Whether a vector sums products over the positions of a ``frame`` or of a
            ``clip``. With ``frame`` each clip has T' vectors, where T' is the smallest
            number of frames that the student or a teacher has.
        joint: Compare each vector only with that of the same frame or clip.
        edges: ``uniform``, or ``learned`` from the labeled clips.
        temperature: Softens the distributions whose mixture teaches the edge network.
        min_vectors: If the global batch has fewer vectors, past ones, which have no
            gradient, fill it up. Not used with ``joint``.
        seed: Seed of the sketches.
        **kwargs: See :class:`~mmvkd.models.heads.base.DistillationHead`.
    """

    one_way = 'it pairs several teachers'
    teacher_queue: Tensor
    student_queue: Tensor
    queued: Tensor

    def __init__(
        self,
        tap: TapConfig,
        dim: int = 2048,
        pool: str = 'frame',
        joint: bool = True,
        edges: str = 'uniform',
        temperature: float = 4.0,
        min_vectors: int = 32,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(tap=tap, **kwargs)
        check_known('edges', edges, _EDGES)
        check_known('pool', pool, _POOLS)
        check_positive(temperature, 'temperature')
        check_at_least(1, dim, 'dim')
        check_at_least(0, min_vectors, 'min_vectors')
        self.dim = dim
        self.pool = pool
        self.joint = joint
        self.edges = edges
        self.temperature = temperature
        self.inner_terms = ('edges',) if edges == 'learned' else ()
        self.label_terms = self.inner_terms
        self.terms = ('', *self.inner_terms)
        # with `joint`, each vector meets only its own
        self.min_vectors = 0 if joint else min_vectors
        self.seed = seed

    def attach(self, student: ModelCard, teachers: Mapping[str, ModelCard]) -> None:
        """Draw the sketches, and build the projection and the queue.

        Raises:
            ValueError: if edges are to be learned for multi-label models or teachers
                of other classes, or a teacher's name has a ``+``.
        """
        names = list(teachers)
        if any('+' in name for name in names):
            raise ValueError(
                f"a pair is logged as A+B, so no teacher's name has a +: "
                f'{", ".join(names)}'
            )
        # a lone teacher is paired with itself through a second sketch
        self._sides = names if len(names) > 1 else 2 * names
        self._pairs = list(combinations(range(len(self._sides)), 2))
        generator = torch.Generator().manual_seed(self.seed)
        for side, name in enumerate(self._sides):
            channels = teachers[name].shapes[self.tap_of(name)][0]
            sketch = draw_sketch(channels, self.dim, generator)
            self.register_buffer(f'place_{side}', sketch.place)
            self.register_buffer(f'sign_{side}', sketch.sign)
        pairs = len(self._pairs)
        channels = student.shapes[self.tap_of()][0]
        self.projection = nn.Linear(channels, pairs * self.dim)
        if self.edges == 'learned':
            user = f"{type(self).__name__} with edges='learned'"
            check_classes(user, student, teachers, "set edges='uniform'")
            self.edge_network = EdgeNetwork(len(names), student.num_classes)
        if self.min_vectors:  # averaging buffers among ranks fails for empty ones
            # newest first; of the global batch, so equal on all ranks
            queue = torch.zeros(self.min_vectors, pairs, self.dim)
            self.register_buffer('teacher_queue', queue)
            self.register_buffer('student_queue', queue.clone())
            self.register_buffer('queued', torch.zeros((), dtype=torch.long))
        self._edge_names = [
            f'edge_{self._sides[i]}+{self._sides[j]}' for i, j in self._pairs
        ]
        self.diagnostics = tuple(self._edge_names)

    def forward(
        self, student: Outputs, teachers: Mapping[str, Outputs], targets: Targets
    ) -> dict[str, Tensor]:
        """The matching term, the term of learned edges, and the edges for the log."""
        feature = student.features[self.tap_of()].float()
        # [N, T', E, D]
        theirs = self._ensembled(teachers, feature.shape[2])
        feature = pooled(feature, (theirs.shape[1], 1, 1)).flatten(2).mT
        own = unit_length(self.projection(feature).unflatten(2, (-1, self.dim)))
        if self.joint:
            apart = self._discrepancy_by_place(theirs, own)
        else:
            rows = gather(theirs.flatten(0, 1)), gather(own.flatten(0, 1))
            apart = self._discrepancy(*rows)
        if self.edges == 'uniform':
            weights, terms = torch.full_like(apart, 1 / len(apart)), {}
        else:
            labels = targets.one_per_clip("edges='learned'")
            # [N, K, M]
            logits = torch.stack([t.logits.float() for t in teachers.values()], dim=1)
            log_trust = self.edge_network(logits)
            logits = logits / self.temperature
            terms = {'edges': self.edge_network.loss(log_trust, logits, labels)}
            weights = self._edges(log_trust)
        logs = {name: weights[e] for e, name in enumerate(self._edge_names)}
        return {'': (weights * apart).sum(), **terms, **logs}

    @torch.no_grad()
    def _edges(self, log_trust: Tensor) -> Tensor:
        """Weights of the pairs (E,), which sum to 1, from the trust (N, K).

        Of the global batch, so that all ranks have the same.
        """
        log_trust = gather(log_trust).logsumexp(0).expand(len(self._sides))
        return torch.stack(
            [log_trust[i] + log_trust[j] for i, j in self._pairs]
        ).softmax(0)

    @torch.no_grad()
    def _ensembled(self, teachers: Mapping[str, Outputs], length: int) -> Tensor:
        """The teachers' vector for each frame (or clip) and pair, (N, T', E, D).

        Args:
            teachers: Outputs by name.
            length: Frames of the student's feature.
        """
        features = {
            name: outputs.features[self.tap_of(name)]
            for name, outputs in teachers.items()
        }
        time, *area = map(min, zip(*(x.shape[2:] for x in features.values())))
        frames = 1
        if self.pool == 'frame':
            frames = time = min(time, length)
        # [N, C, T', T / T', H, W]
        parts = {
            name: pooled(x.float(), (time, *area)).unflatten(2, (frames, -1))
            for name, x in features.items()
        }
        # [N·T', C, positions]
        maps = {t: x.transpose(1, 2).flatten(0, 1).flatten(2) for t, x in parts.items()}
        sketches = [
            Sketch(getattr(self, f'place_{side}'), getattr(self, f'sign_{side}'))
            for side in range(len(self._sides))
        ]
        sides = [maps[name] for name in self._sides]
        rows = signed_root(bilinear_sketch(sides, sketches, self._pairs, self.dim))
        return rows.unflatten(0, (-1, frames))

    def _discrepancy_by_place(self, theirs: Tensor, own: Tensor) -> Tensor:
        """Discrepancy of each pair (E,), vector by vector, from (N, T', E, D)."""
        with torch.no_grad():
            # of all ranks, evenly spaced: [E, N', D]
            local = theirs.shape[0] * theirs.shape[1]
            step = -(-local * get_world_size() // _OF_BANDWIDTH)
            # thinned before they are gathered, where that gives the same rows
            before, after = (step, 1) if local % step == 0 else (1, step)
            rows = [
                gather(x.detach().flatten(0, 1)[::before]).transpose(0, 1)[:, ::after]
                for x in (theirs, own)
            ]
            bandwidth = median_bandwidth(*rows)
            # that of a lone vector shrinks with its distance, which it must not offset
            bandwidth = bandwidth.clamp_min(_LEAST_BANDWIDTH)
        return paired_mmd(theirs, own, bandwidth).mean((0, 1))

    def _discrepancy(self, theirs: Tensor, own: Tensor) -> Tensor:
        """Discrepancy of each pair (E,); past vectors make up ``min_vectors``."""
        if not self.min_vectors:
            return mmd(theirs.transpose(0, 1), own.transpose(0, 1))
        past = max(0, self.min_vectors - len(theirs))
        # [E, N', D]
        x = torch.cat([theirs, self.teacher_queue[:past]]).transpose(0, 1)
        y = torch.cat([own, self.student_queue[:past]]).transpose(0, 1)
        weight = theirs.new_ones(len(theirs) + past)
        weight[len(theirs) :] = torch.arange(past, device=weight.device) < self.queued
        apart = mmd(x, y, weight)
        if self.training:
            self._remember(theirs, own.detach())
        return apart

    @torch.no_grad()
    def _remember(self, theirs: Tensor, own: Tensor) -> None:
        """Put the vectors of this step in front of the queue."""
        # an overflow would stay for many steps, though mixed precision skips its own
        whole = theirs.isfinite().all() & own.isfinite().all()
        for queue, now in ((self.teacher_queue, theirs), (self.student_queue, own)):
            longer = torch.cat([now, queue])[: self.min_vectors]
            queue.copy_(torch.where(whole, longer, queue))
        self.queued.add_(len(theirs) * whole).clamp_max_(self.min_vectors)
