"""What models hand to the distillation heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable, Optional

import torch
from torch import Tensor


@dataclass(frozen=True)
class ModelCard:
    """What a head must know of a model before the first step.

    Args:
        name: ``student`` or the teacher's name in the config.
        num_classes: M.
        multi_label: Whether the model predicts labels that do not exclude each other.
        shapes: (C, T, H, W) by tap name, for a clip of the probed size: C is fixed,
            the others scale with the clip.
    """

    name: str
    num_classes: int
    multi_label: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def shares_classes_of(self, other: ModelCard) -> bool:
        """Whether both have as many classes, which exclude each other."""
        return self.num_classes == other.num_classes and not (
            self.multi_label or other.multi_label
        )


@dataclass(frozen=True)
class Outputs:
    """One model's outputs for a batch.

    Args:
        logits: Video-level, after consensus: (N, M).
        features: (N, C, T, H, W) by tap name.
        ready: If the outputs come from another CUDA stream, the event that marks them
            as complete; call :meth:`wait` before using them.
        hybrid: Given features by tap name, runs the rest of the model on them, for the
            same batch, and returns logits (N, M); None if unsupported or not asked for.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    ready: Optional[torch.cuda.Event] = None
    hybrid: Optional[Callable[[Mapping[str, Tensor]], Tensor]] = None

    def detached(self) -> Outputs:
        """The logits and features without their graph."""
        features = {tap: x.detach() for tap, x in self.features.items()}
        return Outputs(self.logits.detach(), features)

    def wait(self) -> Outputs:
        """Make the current stream, not the host, wait for the outputs; return them."""
        if self.ready is None:
            return self
        here = torch.cuda.current_stream(self.logits.device)
        here.wait_event(self.ready)
        for tensor in (self.logits, *self.features.values()):
            # so that its memory, once freed, is not reused before this stream is done
            tensor.record_stream(here)
        return self


@dataclass
class Targets:
    """The labels of a batch.

    Args:
        labels: (N,) class indices with −1 for an unlabeled clip; None for blended or
            multi-label targets.
        labeled: Positions of this process's labeled clips, None if all have a label;
            on the host, so that no step has to ask the device.
        soft: (N, M) distributions whose modes are ``labels``, rows of zeros for
            unlabeled clips; None if the labels are hard.
    """

    labels: Optional[Tensor]
    labeled: Optional[Sequence[int]] = None
    soft: Optional[Tensor] = None

    @property
    def complete(self) -> bool:
        """Whether every clip of this process has a label."""
        return self.labeled is None

    @property
    def count(self) -> int:
        """How many clips of this process have a label that is one class."""
        if self.labels is None:
            return 0
        return len(self.labels if self.labeled is None else self.labeled)

    def accuracy(self, logits: Tensor) -> Tensor:
        """Share of the labeled clips whose label has the largest logit, a scalar.

        Args:
            logits: (N, M), for targets with such clips.
        """
        labels = self.one_per_clip('the accuracy of a teacher')
        # no class is -1, the label of a clip without one
        return (logits.argmax(1) == labels).sum() / self.count

    @classmethod
    def of(cls, data_samples: Sequence) -> Targets:
        """Read the labels from ``gt_label``, where the samples are (host or device)."""
        labels = [sample.gt_label for sample in data_samples]
        if any(label.numel() != 1 or label.is_floating_point() for label in labels):
            return cls(None)
        stacked = torch.stack(labels).flatten()
        labeled = [place for place, label in enumerate(stacked.tolist()) if label >= 0]
        return cls(stacked, None if len(labeled) == len(labels) else labeled)

    def one_per_clip(self, what: str) -> Tensor:
        """The labels (N,), needed by ``what``.

        Raises:
            ValueError: if they are blended, or several per clip.
        """
        if self.labels is None:
            raise ValueError(
                f"{what} needs one label per clip; turn blending off in the student's "
                'data_preprocessor, or leave this out where clips have several'
            )
        return self.labels

    def to(self, device: torch.device) -> Targets:
        """The same targets on ``device``."""
        if self.labels is None:
            return self
        fast = device.type != 'cpu'
        labels = self.labels.to(device, non_blocking=fast)
        soft = None if self.soft is None else self.soft.to(device, non_blocking=fast)
        return Targets(labels, self.labeled, soft)


def video_logits(scores: Tensor, batch: int) -> Tensor:
    """Video-level logits (N, M) from a head's scores (N·V, M), averaged over V clips.

    Raises:
        ValueError: if the scores have another shape.
    """
    if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[0] % batch:
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores)
        raise ValueError(
            f'a classification head gave {shape} for {batch} clips; '
            'one row of class scores per clip is needed'
        )
    if scores.shape[0] == batch:
        return scores
    return scores.unflatten(0, (batch, -1)).mean(1)
