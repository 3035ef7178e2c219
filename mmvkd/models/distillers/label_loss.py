"""The label loss of a batch in which clips may lack a label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from mmaction.models.losses import CrossEntropyLoss
from mmaction.utils import SampleList
from mmengine.dist import get_world_size
from torch import Tensor

from mmvkd.models.gather import global_sum
from mmvkd.models.losses.numerics import full_precision
from mmvkd.models.outputs import Targets


def label_loss(
    head: BaseHead, scores: Tensor, data_samples: SampleList, targets: Targets
) -> dict[str, Tensor]:
    """The head's losses over the labeled clips of the global batch.

    Args:
        head: The student's head.
        scores: Its scores for the clips.
        data_samples: Labels of the clips; only those labeled in ``targets`` are read.
        targets: Labels to learn from, and which clips have one.
    """
    # bfloat16 cannot become NumPy, with which MMAction2 counts the hits
    scores = full_precision(scores)
    if targets.labeled is None:
        entries = head.loss_by_feat(scores, data_samples)
    elif targets.labeled:
        # positions rather than a mask, whose count the host would have to wait for
        places = torch.tensor(targets.labeled)
        places = places.to(scores.device, non_blocking=True)
        chosen = [data_samples[place] for place in targets.labeled]
        entries = head.loss_by_feat(scores[places], chosen)
    else:
        # keeps the scores in the graph: every parameter must get a gradient
        entries = {'loss_cls': scores.sum() * 0}
    if targets.complete and get_world_size() == 1:
        return entries
    counted = _counted(head, data_samples, targets)
    share = counted.sum() * get_world_size() / global_sum(counted).clamp_min(1e-12)
    return {
        key: value * share if 'loss' in key else value for key, value in entries.items()
    }


def _counted(head: BaseHead, data_samples: SampleList, targets: Targets) -> Tensor:
    """Weight of each clip (N,) in the mean that the head's loss takes."""
    labels, rows = targets.labels, targets.soft
    if labels is None:
        rows = torch.stack([sample.gt_label for sample in data_samples])
        labels = rows.argmax(dim=1)
    labeled = (labels >= 0).float()
    loss, eps = head.loss_cls, head.label_smooth_eps
    if not isinstance(loss, CrossEntropyLoss) or loss.class_weight is None:
        return labeled
    if rows is None:
        rows = F.one_hot(labels.clamp_min(0), head.num_classes)
    rows = (1 - eps) * rows + eps / head.num_classes
    # not a matrix product, which mixed precision would round to half
    return labeled * (rows * loss.class_weight.to(labeled.device)).sum(dim=1)
