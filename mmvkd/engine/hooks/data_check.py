"""Checks that data and model fit each other, before any epoch."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmvkd.datasets import PretextDataset, SeededDataset
from mmvkd.datasets.annotations import clip_name
from mmvkd.datasets.fingerprint import data_fingerprint, located, some_paths
from mmvkd.datasets.label_maps import flattened
from mmvkd.datasets.seeded import NamingPipeline
from mmvkd.datasets.transforms.pretext import PretextTask
from mmvkd.engine.wrapping import unwrap
from mmvkd.models.teachers import CachedTeacher
from mmvkd.registry import HOOKS

_NO_LABEL = (
    '; -1, no label, is for the training of a distiller, and for a test without '
    'scores: --dump FILE.pkl --cfg-options test_evaluator=[]'
)
_GENERATORS = (
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    torch.Generator,
)


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Raises before the first step when lists and model do not fit each other.

    A list must have clips, its labels must be classes of the model's head, and its
    files must be where ``data_prefix`` says; up to 100 of them, evenly spread, are
    looked for. Training may begin if only some are missing, as it skips those. A
    pretext task must have as many classes as the head. The stores of cached teachers
    must be those of the training set. In validation and testing, the error for a clip
    that cannot be read names it.

    It warns of transforms that keep a generator of their own, which no seed reaches.
    """

    def before_run(self, runner: Runner) -> None:
        """Check the data sets of the loops that this run has."""
        model = unwrap(runner.model)
        head = getattr(getattr(model, 'student', model), 'cls_head', None)
        classes = getattr(head, 'num_classes', None)
        for stage in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{stage}_loop')
            dataloader = getattr(loop, 'dataloader', None)
            if isinstance(loop, BaseLoop) and dataloader is not None:
                dataset = dataloader.dataset
                distills = stage == 'train' and hasattr(model, 'student')
                unscored = stage == 'test' and _only_dumps(loop)
                check_dataset(stage, dataset, classes, distills or unscored)
                unlabeled = count_unlabeled(dataset) if distills else 0
                if unlabeled:
                    runner.logger.warning(
                        f'{unlabeled} of {len(dataset)} training clips have no label'
                    )
                if stage == 'train':
                    _warn_of_generators(runner, dataset)
                    _check_stores(getattr(model, 'teachers', {}), dataloader)
                elif not isinstance(dataset, SeededDataset):
                    _name_clips(_innermost(dataset))


def _only_dumps(loop: Any) -> bool:
    """Whether a test computes no score, so that it needs no labels."""
    metrics = loop.evaluator.metrics
    return all(isinstance(metric, DumpResults) for metric in metrics)


def _warn_of_generators(runner: Runner, dataset: Any) -> None:
    """Warn of transforms that no seed of a sample reaches."""
    if not isinstance(dataset, SeededDataset):
        return
    for transform in flattened(dataset.dataset.pipeline.transforms):
        settings = getattr(transform, '__dict__', {})
        if any(isinstance(value, _GENERATORS) for value in settings.values()):
            runner.logger.warning(
                f'{type(transform).__name__} draws from a generator of its own, so no '
                'clip of it can be given again: not in a resumed run, nor for a cached '
                'teacher; let it draw from random, numpy.random or torch'
            )


def _check_stores(teachers: Mapping[str, Any], dataloader: DataLoader) -> None:
    """Check that cached teachers have seen the clips that training will show."""
    cached = [t for t in teachers.values() if isinstance(t, CachedTeacher)]
    if not cached:
        return
    if not isinstance(dataloader.dataset, SeededDataset):
        raise TypeError(
            f'a cached teacher needs samples that follow from their key; the '
            f'train_dataloader has a {type(dataloader.dataset).__name__}: wrap it in '
            'mmvkd.SeededDataset'
        )
    fingerprint = data_fingerprint(dataloader.dataset)
    for teacher in cached:
        teacher.check_data(fingerprint, getattr(dataloader.sampler, 'views', None))


def check_dataset(
    stage: str, dataset: Any, classes: Any, allow_unlabeled: bool
) -> None:
    """Check one data set, if it gives annotations.

    Args:
        stage: ``train``, ``val`` or ``test``.
        dataset: The data set of its loader.
        classes: Of the model's head; labels are checked if it is a number.
        allow_unlabeled: Whether a clip may have the label −1, none.

    Raises:
        ValueError: if the list is empty, or a label or a task does not fit the model.
        FileNotFoundError: if clips are missing.
    """
    if len(dataset) == 0:
        raise ValueError(f'{_name(dataset)} of the {stage}_dataloader lists no clips')
    if not hasattr(dataset, 'get_data_info'):
        return
    if isinstance(dataset, PretextDataset):
        allow_unlabeled = True  # its task writes the labels
        _check_task(stage, dataset.task, classes)
    if isinstance(classes, int):
        _check_labels(dataset, classes, allow_unlabeled)
    # of skeletons, the name is no file
    if _on_disk(_innermost(dataset)) and 'keypoint' not in dataset.get_data_info(0):
        _check_files(stage, dataset)


def count_unlabeled(dataset: Any) -> int:
    """How many clips have no label: none where a pretext task writes the labels."""
    if isinstance(dataset, PretextDataset) or not hasattr(dataset, 'get_data_info'):
        return 0
    labels = (dataset.get_data_info(i).get('label') for i in range(len(dataset)))
    return sum(_is_class(label) and label < 0 for label in labels)


def _check_task(stage: str, task: PretextTask, classes: Any) -> None:
    """Check that a pretext task has as many classes as the head."""
    if task.num_classes != classes:
        raise ValueError(
            f'{type(task).__name__} of the {stage}_dataloader has '
            f'{task.num_classes} classes; the head of the model has '
            f'num_classes={classes}'
        )


def _check_labels(dataset: Any, classes: int, allow_unlabeled: bool) -> None:
    """Check that labels lie in [0, classes), or are −1 where that is allowed.

    Of several labels per clip none can be missing: without any, all classes are absent.
    """
    source = _innermost(dataset)
    several = getattr(source, 'multi_class', False)
    if several and source.num_classes not in (None, classes):
        raise ValueError(
            f'{_name(dataset)} has num_classes={source.num_classes}; the head of the '
            f'model has num_classes={classes}'
        )
    lowest = -1 if allow_unlabeled and not several else 0
    # several labels as the list has them, before they are a vector
    listed = several and isinstance(source, BaseDataset)
    for index in range(len(source if listed else dataset)):
        info = (
            BaseDataset.get_data_info(source, index)
            if listed
            else dataset.get_data_info(index)
        )
        if 'filename' in info and info['filename'][-1:] in ('', '/'):
            raise ValueError(f'{_name(dataset)} has an empty line, number {index + 1}')
        labels = info.get('label')
        for label in labels if listed else [labels]:
            if _is_class(label) and not lowest <= label < classes:
                none = _NO_LABEL if label == -1 and not several else ''
                raise ValueError(
                    f"label {label} of clip '{clip_name(info)}' in {_name(dataset)} is "
                    'not a class of the model, whose head has '
                    f'num_classes={classes}{none}'
                )


def _is_class(label: Any) -> bool:
    """Whether it is one label; several are a vector, made by the data set itself."""
    return isinstance(label, (int, np.integer))


def _check_files(stage: str, dataset: Any) -> None:
    """Check that the clips looked for exist; in training, one is enough."""
    paths = some_paths(dataset)
    missing = [path for path in paths if '://' not in path and located(path) is None]
    if missing and (stage != 'train' or len(missing) == len(paths)):
        marked = re.search(r'[\t,;]', missing[0])
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} clips looked for do not exist, as '"
            f"{missing[0]}'; check data_prefix{' and delimiter' if marked else ''} of "
            f'{_name(dataset)} in the {stage}_dataloader'
        )


def _name_clips(dataset: Any) -> None:
    """Let a validation or test set name a clip that it cannot read."""
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None and not isinstance(pipeline, NamingPipeline):
        dataset.pipeline = NamingPipeline(pipeline, getattr(dataset, 'ann_file', ''))


def _name(dataset: Any) -> str:
    """The list of a data set, in quotes, or its type where it has none."""
    source = _innermost(dataset)
    return f"'{getattr(source, 'ann_file', None) or type(source).__name__}'"


def _innermost(dataset: Any) -> Any:
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


def _on_disk(dataset: Any) -> bool:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    backends = {getattr(transform, 'io_backend', 'disk') for transform in transforms}
    for transform in transforms:
        settings = getattr(transform, 'backend_args', None) or {}
        backends.add(settings.get('backend', 'local'))
    return backends <= {'disk', 'local'}
