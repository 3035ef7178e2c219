"""Preprocessing of the clips that all models of a distiller share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.utils import SampleList
from mmengine.model import BaseDataPreprocessor, stack_batch
from mmengine.utils import is_seq_of
from torch import Tensor

from mmvkd.models.outputs import Targets


class DistillPreprocessor(BaseDataPreprocessor):
    """Casts and blends in training, and leaves normalization to the views.

    In testing it acts as the student's own preprocessor.

    Args:
        student: The student's preprocessor.

    Attributes:
        read_targets: Function from the samples of a training batch to its targets.
    """

    student: ActionDataPreprocessor

    def __init__(self, student: ActionDataPreprocessor) -> None:
        super().__init__()
        self.student = student
        self.read_targets: Callable[[SampleList], Targets] = Targets.of

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Stack a batch; in training, first read its targets, still on the host."""
        if not training:
            return self.student(data, training)
        if not isinstance(data, Mapping):
            raise TypeError(
                f'a step has {len(data)} batches, as MultiLoaderEpochBasedTrainLoop '
                'gives it; distillation takes one'
            )
        targets = self.read_targets(data['data_samples'])
        data = self.cast_data(data)
        inputs, samples = data['inputs'], data['data_samples']
        if not is_seq_of(inputs, Tensor):
            first = inputs[0] if isinstance(inputs, Sequence) else inputs
            raise TypeError(
                f'a batch of {type(first).__name__} is not one clip per sample; '
                'distillation takes frames of one modality'
            )
        inputs = stack_batch(inputs)
        if self.student.blending is not None:
            if not targets.complete:
                raise ValueError(
                    'blending mixes labels, and a clip of the batch has none (-1); '
                    "turn it off in the student's data_preprocessor"
                )
            inputs, samples = self.student.blending(inputs.float(), samples)
            targets = Targets.of(samples)
        return dict(
            inputs=inputs, data_samples=samples, targets=targets.to(inputs.device)
        )
