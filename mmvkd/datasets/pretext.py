"""A data set that asks a pretext task of its clips, in place of their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from mmengine.dataset import BaseDataset

from mmvkd.datasets.seeded import SeededDataset
from mmvkd.datasets.transforms.pretext import PretextTask
from mmvkd.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class PretextDataset(SeededDataset):
    """Wraps a video or frame dataset: its pipeline gets a task and loses its labels.

    The task's sampling goes behind the pipeline's own, the task itself before
    ``FormatShape``. A label of the list is replaced by −1 before the pipeline sees it,
    so lists without labels do as well.

    A clip that the task cannot be asked of, such as a still one, is replaced by
    another, drawn by the same key; in testing too, where the questions are ours.

    Args:
        dataset: Config of the dataset, or the dataset.
        task: Config of a :class:`~mmvkd.datasets.transforms.pretext.PretextTask`.
        recipe: What makes the data set, told when its list is missing.

    Raises:
        TypeError: if ``task`` is no pretext task.
        ValueError: if the pipeline samples or formats no frames.
        FileNotFoundError: if the annotation file is missing.
    """

    _max_skips = 50
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
            raise TypeError(f'task={task}, expected a pretext task')
        transforms = self.dataset.pipeline.transforms
        self.task.insert_into(transforms)
        transforms.insert(0, _unlabeled)
        self.replaces = True

    def get_data_info(self, index: int) -> dict:
        """The wrapped dataset's annotation, without a label."""
        return _unlabeled(super().get_data_info(index))


def _unlabeled(results: dict[str, Any]) -> dict[str, Any]:
    return {**results, 'label': -1}
