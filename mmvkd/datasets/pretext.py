"""A data set whose clips get a pretext task in place of their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from mmengine.dataset import BaseDataset

from mmvkd.datasets.seeded import SeededDataset
from mmvkd.datasets.transforms.pretext import PretextTask
from mmvkd.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class PretextDataset(SeededDataset):
    """Wraps a video or frame dataset, whose pipeline gets a task in place of labels.

    The task's sampling goes after the pipeline's own, the task itself before
    ``FormatShape``. A label in the list is replaced by −1 before the pipeline sees it,
    so lists without labels work as well.

    A clip for which the task has no answer, such as a still one, is replaced by
    another, drawn by the same key; in testing too, because the questions are our own.

    Args:
        dataset: Config of the dataset, or the dataset.
        task: Config of a :class:`~mmvkd.datasets.transforms.pretext.PretextTask`.
        recipe: How to make the data set; shown when its list is missing.

    Raises:
        TypeError: if ``task`` is no pretext task.
        ValueError: if the pipeline samples or formats no frames.
        FileNotFoundError: if the annotation file is missing.
    """

    _hint = 'are they too short or too still for the task? else check data_prefix'

    def __init__(
        self,
        dataset: Union[BaseDataset, Mapping[str, Any]],
        task: Mapping[str, Any],
        recipe: str = '',
    ) -> None:
        super().__init__(dataset, recipe=recipe)
        self.task = TRANSFORMS.build(dict(task))
        if not isinstance(self.task, PretextTask):
            raise TypeError(
                f'task={task} is no pretext task, such as mmvkd.FrameSorting'
            )
        self.task.insert_into(self.dataset.pipeline.transforms)
        self.replaces = True

    def get_data_info(self, index: int) -> dict:
        """The wrapped dataset's annotation, without a label."""
        return {**super().get_data_info(index), 'label': -1}
