"""Soft labels of all training clips, which predictions refine epoch by epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch import Tensor

from mmvkd.models.outputs import Outputs, Targets

_CHUNK = 4096  # clips whose rows are exchanged between processes at a time
_NOT_SEEN = torch.iinfo(torch.int64).max


class _Batch(NamedTuple):
    """Predictions for a batch; classes are those of the views, not of the clips."""

    ids: list[int]
    maps: list[Mapping[int, int]]
    rows: Tensor


class LabelBank:
    r"""Soft labels y, one for each clip of the training list.

    After arXiv 2307.05201; our reading. At first y is the given label. A clip without
    one gets the mean of the teachers' predictions :math:`p_T` at the end of the first
    epoch in which it is seen. From then on, the predictions of each epoch move y,

    .. math:: m = \gamma p_T + (1 - \gamma) p_S, \qquad
              y \leftarrow \beta y + (1 - \beta) m
              \quad\text{where } \max m > \theta

    with :math:`p_S` the student's, both from the forward passes of training. Each clip
    counts once per epoch: if the sampler gave it several places, the first in the
    global order counts. All processes hold the same bank, on the host, in float32: 4
    bytes per clip and class, in each checkpoint too.

    Where an augmentation exchanged classes (``label_map`` in a sample's ``metainfo``),
    labels and predictions follow it.

    Args:
        given: (n,) classes, −1 where a clip has none.
        num_classes: M.
        teachers: Names of the teachers averaged in :math:`p_T`.
        momentum: :math:`\beta`.
        teacher_weight: :math:`\gamma`; without teachers it counts as 0.
        threshold: :math:`\theta`.
    """

    def __init__(
        self,
        given: Tensor,
        num_classes: int,
        teachers: Sequence[str] = (),
        momentum: float = 0.4,
        teacher_weight: float = 0.8,
        threshold: float = 0.5,
    ) -> None:
        self.given = given
        self.known = given >= 0
        self.soft = torch.zeros(len(given), num_classes)
        self.soft[self.known, given[self.known]] = 1.0
        self.teachers = tuple(teachers)
        self.momentum = momentum
        self.teacher_weight = teacher_weight if self.teachers else 0.0
        self.threshold = threshold
        self._batches: list[_Batch] = []
        self._shown: dict[tuple, Tensor] = {}

    def targets(self, data_samples: Sequence) -> Targets:
        """The labels of a batch, as its views show them; its samples get them too.

        Args:
            data_samples: N samples on the host. If a clip has a soft label (M,), it
                becomes ``gt_label``, so that the student's own head learns from it.
        """
        infos = [sample.metainfo for sample in data_samples]
        ids = torch.tensor([info['sample_id'] for info in infos])
        # [N, M]
        soft = self.soft[ids]
        shown = self._shown_as([info.get('label_map', {}) for info in infos])
        soft = torch.zeros_like(soft).scatter_(1, shown, soft)
        known = self.known[ids]
        labeled = known.nonzero().flatten().tolist()
        for place in labeled:
            data_samples[place].set_gt_label(soft[place])
        labels = torch.where(known, soft.argmax(1), -1)
        return Targets(labels, None if len(labeled) == len(infos) else labeled, soft)

    @torch.no_grad()
    def observe(
        self,
        data_samples: Sequence,
        student: Outputs,
        teachers: Mapping[str, Outputs],
    ) -> None:
        """Note the predictions of a training batch, without making the host wait."""
        infos = [sample.metainfo for sample in data_samples]
        ids = [info['sample_id'] for info in infos]
        rows = student.logits.float().softmax(1)
        if self.teachers:
            each = [teachers[t].logits.float().softmax(1) for t in self.teachers]
            taught = torch.stack(each).mean(0)
            rows = torch.lerp(rows, taught, self.teacher_weight)
            known = self.known[torch.tensor(ids)]
            if not known.all():
                # [N, 1]
                known = known.to(rows.device, non_blocking=True)[:, None]
                rows = torch.where(known, rows, taught)
        maps = [info.get('label_map', {}) for info in infos]
        rows = rows.to('cpu', non_blocking=rows.is_cuda)
        self._batches.append(_Batch(ids, maps, rows))

    def update(self, refine: bool = True) -> int:
        """Move the labels by the predictions of an epoch.

        Args:
            refine: Also move labels that already exist; False in the warm-up.

        Returns:
            How many labels were added or moved.
        """
        changed = 0
        for part, rows, seen in self._agreed():
            soft, known = self.soft[part], self.known[part]
            moved = seen & known & (rows.amax(1) > self.threshold)
            if not refine:
                moved = torch.zeros_like(moved)
            fresh = seen & ~known & rows.isfinite().all(1)
            if not self.teachers:
                fresh = torch.zeros_like(fresh)
            soft[fresh] = rows[fresh]
            soft[moved] = (
                self.momentum * soft[moved] + (1 - self.momentum) * rows[moved]
            )
            known |= fresh
            changed += int((fresh | moved).sum())
        return changed

    def forget(self) -> None:
        """Drop the noted predictions."""
        self._batches.clear()

    def _agreed(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Predictions (n', M) of n' clips at a time, and which were seen on any rank.

        All at once would take several times the memory of the labels.
        """
        count = len(self.given)
        if torch.cuda.is_initialized():
            # the copies to the host may still be under way
            torch.cuda.synchronize()
        # the sampler deals its list out to the ranks in turn
        ids = torch.tensor([i for batch in self._batches for i in batch.ids]).long()
        places = torch.arange(len(ids)) * get_world_size() + get_rank()
        first = torch.full((count,), _NOT_SEEN)
        first.scatter_reduce_(0, ids, places, 'amin')
        all_reduce(first, 'min')
        noted = ((batch, i) for batch in self._batches for i in range(len(batch.ids)))
        parts: dict[int, list[tuple[_Batch, int]]] = defaultdict(list)
        for (batch, i), counts in zip(noted, (first[ids] == places).tolist()):
            if counts:
                parts[batch.ids[i] // _CHUNK].append((batch, i))
        for start in range(0, count, _CHUNK):
            part = slice(start, min(start + _CHUNK, count))
            rows = torch.zeros(part.stop - start, self.soft.shape[1])
            for batch, i in parts[start // _CHUNK]:
                # by the clip's own classes
                rows[batch.ids[i] - start] = batch.rows[i][self._order(batch.maps[i])]
            # each row is filled by one process alone, so the sum is exact
            all_reduce(rows)
            yield part, rows, first[part] != _NOT_SEEN
        self.forget()

    def _shown_as(self, maps: Sequence[Mapping[int, int]]) -> Tensor:
        """The class that each view shows for each of the clip's own classes, (N, M)."""
        return torch.stack([self._order(m) for m in maps])

    def _order(self, label_map: Mapping[int, int]) -> Tensor:
        pairs = tuple(sorted(label_map.items()))
        if pairs not in self._shown:
            order = torch.arange(self.soft.shape[1])
            for label, shown in pairs:
                order[label] = shown
            if len(order.unique()) < len(order):
                raise ValueError(
                    f'the label map {dict(pairs)} gives two classes one label; soft '
                    'labels need one that can be undone'
                )
            self._shown[pairs] = order
        return self._shown[pairs]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return dict(soft=self.soft, known=self.known, given=self.given)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            RuntimeError: if it belongs to another training list.
        """
        given = state['given'].cpu()
        if not torch.equal(given, self.given) or state['soft'].shape != self.soft.shape:
            raise RuntimeError(
                f'the checkpoint has labels of {len(given)} clips, and the '
                f'training list {len(self.given)} clips, or their given labels differ: '
                'resume with the same list and settings'
            )
        self.soft, self.known = state['soft'].cpu(), state['known'].cpu()
