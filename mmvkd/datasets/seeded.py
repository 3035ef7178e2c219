"""A dataset whose samples are functions of (run seed, epoch, sample id)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Optional, Union

import numpy as np
from mmaction.registry import DATASETS as MMACTION_DATASETS
from mmengine.dataset import BaseDataset

from mmvkd.datasets.annotations import clip_name
from mmvkd.datasets.label_maps import LabelMaps
from mmvkd.datasets.transforms import OversampleFrames
from mmvkd.datasets.transforms.decoders import require
from mmvkd.errors import UnfitPipelineError, UnreadableClipError
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey, seeded
from mmvkd.tool_commands import placed

# fields that tell which of a folder's pictures are a clip's frames
_FRAMES = ('offset', 'total_frames', 'start_index', 'filename_tmpl', 'modality')


@DATASETS.register_module()
class SeededDataset:
    """Wraps a video or frame dataset; its pipeline stays as it is.

    Each sample is loaded with Python, NumPy and torch seeded by (run seed, epoch,
    sample id), so any number of workers gives the same clips, and a resumed run those
    of the uninterrupted one. Each sample's ``metainfo`` gets its position in the
    annotation list as ``sample_id``, the epoch as ``view`` and, above 1, ``oversample``
    as ``oversampled``. Where a flip or a reversal exchanged classes, its ``label_map``
    says which.

    In training, a clip that cannot be read is replaced by another, drawn by the same
    key, and named in ``metainfo['skipped']``, which
    :class:`~mmvkd.engine.hooks.SeedingHook` counts and reports; in testing it raises an
    error.

    Args:
        dataset: Config of the dataset, or the dataset.
        oversample: Load this many frames for each frame that the pipeline samples,
            inside the same segments, for teachers that take more frames.
        recipe: How to make the data set; shown when its list is missing.

    Raises:
        FileNotFoundError: if the annotation file is missing.
        ValueError: if it lists no clips.
        TypeError: if it is itself a wrapper, or gives several samples for a clip.
        ImportError: if its decoder is not installed.
    """

    _max_skips = 50
    _hint = 'check data_prefix'

    def __init__(
        self,
        dataset: Union[BaseDataset, Mapping[str, Any]],
        oversample: int = 1,
        recipe: str = '',
    ) -> None:
        if not isinstance(oversample, int) or oversample < 1:
            raise ValueError(f'oversample is 1 or more, a whole number: {oversample!r}')
        if isinstance(dataset, Mapping):
            dataset = _build(dict(dataset), recipe)
        _check_plain(dataset)
        if len(dataset) == 0:
            raise ValueError(f"'{dataset.ann_file}' lists no clips")
        self.dataset = dataset
        self.replaces = not dataset.test_mode  # clips that cannot be loaded
        transforms = dataset.pipeline.transforms
        # our own decoders check this when they are built
        if any('Decord' in type(transform).__name__ for transform in transforms):
            require('decord')
        self.oversample = oversample
        if oversample > 1:
            OversampleFrames(oversample).insert_into(transforms)
        self._label_maps = LabelMaps(transforms)

    def full_init(self) -> None:
        """Load the annotations, if the dataset is lazy."""
        self.dataset.full_init()

    @property
    def metainfo(self) -> dict:
        """That of the wrapped dataset."""
        return self.dataset.metainfo

    @property
    def fingerprint(self) -> str:
        """Hash of the annotation list: names and places of frames, in order.

        A teacher's outputs do not depend on labels, so those that are kept also hold
        for a list with other labels, or fewer.
        """
        digest = hashlib.sha256()
        for index in range(len(self)):
            info = self.get_data_info(index)
            frames = [str(info[key]) for key in _FRAMES if key in info]
            line = ' '.join([clip_name(info), *frames])
            digest.update(f'{line}\n'.encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """The annotation that the clip is loaded with."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, key: Union[int, SampleKey]) -> dict:
        """The sample of ``key``.

        A bare index, as other samplers give, means epoch 0 of seed 0 in testing; in
        training, its epoch is drawn from NumPy's generator, so that it is another view
        each time.
        """
        if not isinstance(key, SampleKey):
            epoch = 0 if self.dataset.test_mode else np.random.randint(2**31)
            key = SampleKey(int(key), int(epoch))
        index = key.sample_id
        skipped: list[str] = []
        # by the requested key, or two broken clips could choose each other forever
        others = np.random.default_rng((key.seed, key.epoch, key.sample_id))
        while True:
            with seeded(key.seed, key.epoch, index):
                sample, problem = self._load(index)
            if sample is not None:
                break
            clip = clip_name(self.dataset.get_data_info(index))
            if not self.replaces:
                raise _no_score(clip, self.dataset.ann_file, problem)
            skipped.append(f'{clip} ({problem})')
            if len(skipped) == self._max_skips:
                raise UnreadableClipError(
                    f'{len(skipped)} clips in a row cannot be read, the last one '
                    f"'{skipped[-1]}'; {self._hint} of '{self.dataset.ann_file}'"
                )
            index = int(others.integers(len(self)))
        info: dict[str, Any] = dict(sample_id=index, view=key.epoch)
        if self.oversample > 1:
            info['oversampled'] = self.oversample
        exchanged = self._label_maps.exchanged()
        if exchanged:
            info['label_map'] = exchanged
        if skipped:
            info['skipped'] = skipped
        sample['data_samples'].set_metainfo(info)
        return sample

    def _load(self, index: int) -> tuple[Optional[dict], str]:
        self._label_maps.forget()
        try:
            sample = self.dataset.pipeline(self.get_data_info(index))
        except AssertionError as error:
            # raised by a crop, without a message, for a picture that is too small
            clip = clip_name(self.dataset.get_data_info(index))
            why = str(error) or 'a picture of this size does not fit a transform'
            raise UnfitPipelineError(f"clip '{clip}': {why}") from error
        except Exception as error:
            if not _is_of_reading(error):
                raise
            return None, _first_line(error)
        return sample, 'its pipeline gave nothing' if sample is None else ''


class NamingPipeline:
    """A pipeline that names a clip that it cannot read, for validation and testing.

    Args:
        pipeline: That of the data set.
        source: The list, for the message.
    """

    def __init__(self, pipeline: Any, source: str) -> None:
        self.pipeline = pipeline
        self.source = source

    @property
    def transforms(self) -> list:
        """The transforms of the pipeline."""
        return self.pipeline.transforms

    def __call__(self, info: dict) -> Any:
        """Load a sample.

        Raises:
            UnreadableClipError: if its clip cannot be read.
        """
        clip = clip_name(info)  # before transforms change it
        try:
            return self.pipeline(info)
        except Exception as error:
            if not _is_of_reading(error):
                raise
            raise _no_score(clip, self.source, _first_line(error)) from error


def _no_score(clip: str, source: Any, problem: str) -> UnreadableClipError:
    return UnreadableClipError(
        f"clip '{clip}' of '{source}' cannot be read: {problem}; a score without it "
        'would not be comparable'
    )


def _build(config: dict[str, Any], recipe: str) -> BaseDataset:
    name = os.path.join(config.get('data_root') or '', config.get('ann_file') or '')
    try:
        dataset = MMACTION_DATASETS.build(config)
        dataset.full_init()
    except FileNotFoundError as error:
        hint = f'; {placed(recipe)}' if recipe else ''
        raise FileNotFoundError(f"annotation file '{name}' is missing{hint}") from error
    except ValueError as error:
        # what NumPy says when there are no annotations at all
        if 'need at least one array' not in str(error):
            raise
        raise ValueError(f"'{name}' lists no clips") from error
    return dataset


def _check_plain(dataset: Any) -> None:
    kind = type(dataset).__name__
    if not hasattr(dataset, 'pipeline'):
        raise TypeError(
            f'SeededDataset wraps a dataset with a pipeline, and {kind} has none; '
            'write several lists into one, and repeat by max_epochs'
        )
    if getattr(type(dataset), 'prepare_data', None) is not BaseDataset.prepare_data:
        raise TypeError(
            f'SeededDataset loads a sample by the pipeline alone, and {kind} loads it '
            "in its own way; take type='VideoDataset' without what only that takes, "
            "with collate_fn=dict(type='pseudo_collate')"
        )


def _is_of_reading(error: Exception) -> bool:
    """Whether a file or a decoder is at fault, rather than the program."""
    if isinstance(error, UnfitPipelineError):
        return False
    package = type(error).__module__.partition('.')[0]
    return isinstance(error, (RuntimeError, OSError, ValueError, IndexError)) or (
        package in ('decord', 'av', 'cv2', 'torchcodec')
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
