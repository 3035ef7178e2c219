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
        shapes: (C, T, H, W) by tap name, for a clip of the size that was probed: C
            holds always, the others scale with the clip.
    """

    name: str
    num_classes: int
    multi_label: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """One model's outputs for a batch.

    Args:
        logits: Video-level, after consensus: (N, M).
        features: (N, C, T, H, W) by tap name.
        ready: Recorded when they are there, if they come from another CUDA stream;
            call :meth:`wait` before using them.
        hybrid: Gives the logits (N, M) of a model that goes on from given features, by
            tap name, on the same batch; None if it cannot or nobody asked for it.
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    ready: Optional[torch.cuda.Event] = None
    hybrid: Optional[Callable[[Mapping[str, Tensor]], Tensor]] = None

    def detached(self) -> Outputs:
        """The logits and features without their graph."""
        features = {tap: x.detach() for tap, x in self.features.items()}
        return Outputs(self.logits.detach(), features)

    def wait(self) -> None:
        """Let the current stream wait until the outputs are there; never the host."""
        if self.ready is None:
            return
        here = torch.cuda.current_stream(self.logits.device)
        here.wait_event(self.ready)
        for tensor in (self.logits, *self.features.values()):
            # freed here, its memory is not reused there before this stream is done
            tensor.record_stream(here)


@dataclass
class Targets:
    """The labels of a batch.

    Args:
        labels: (N,) class indices with −1 for an unlabeled clip; None for blended or
            multi-label targets.
        complete: No clip of this process lacks its label; known on the host, so that
            no step waits for the device to tell.
        labeled: If not complete: positions of the clips that have one, likewise.
        soft: (N, M) distributions whose modes are ``labels``, rows of zeros for
            unlabeled clips; None where the labels are hard.
    """

    labels: Optional[Tensor]
    complete: bool = True
    labeled: Sequence[int] = ()
    soft: Optional[Tensor] = None

    @classmethod
    def of(cls, data_samples: Sequence) -> Targets:
        """Read the labels from ``gt_label``, where the samples lie (host or device)."""
        labels = [sample.gt_label for sample in data_samples]
        if any(label.numel() != 1 or label.is_floating_point() for label in labels):
            return cls(None)
        stacked = torch.stack(labels).flatten()
        labeled = [place for place, label in enumerate(stacked.tolist()) if label >= 0]
        complete = len(labeled) == len(labels)
        return cls(stacked, complete, () if complete else labeled)

    def one_per_clip(self, what: str) -> Tensor:
        """The labels (N,), for ``what``, which needs them.

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
        return Targets(labels, self.complete, self.labeled, soft)
