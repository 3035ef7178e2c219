"""Clips to measure a training step with: made up, or of the config's data set."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Optional

import torch
from mmaction.structures import ActionDataSample
from mmengine.runner import Runner

from mmvkd.evaluation.complexity import view_shape
from mmvkd.evaluation.setting import BenchmarkSettings, plain


class Clips:
    """The clips of a config's training step, in the form that its loader gives.

    Args:
        config: That of a distiller, or of a recognizer alone.
        setting: How it is measured.
        classes: M, of the student.
        multi_label: Whether a clip is labeled by a vector (M,), not by a class.

    Attributes:
        shape: That of a made-up clip: (T, C, H, W), or (1, C, T, H, W) for 3-D models.

    Raises:
        ValueError: if the shape cannot be inferred from the config.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        setting: BenchmarkSettings,
        classes: int,
        multi_label: bool = False,
    ) -> None:
        self.config, self.setting = config, setting
        self.classes, self.multi_label = classes, multi_label
        size = () if setting.size is None else (setting.size,)
        shape = list(view_shape(config, size))
        self._time_axis = 0 if len(shape) == 4 else 2
        if setting.frames is not None:
            shape[self._time_axis] = setting.frames
        self.shape = tuple(shape)

    @property
    def oversample(self) -> int:
        """Frames loaded for each frame of the student."""
        dataset = (self.config.get('train_dataloader') or {}).get('dataset') or {}
        return int(dataset.get('oversample', 1))

    def made_up(self, oversample: int = 1) -> dict[str, Any]:
        """A batch of noise, the same each time.

        Args:
            oversample: Frames of a clip for each frame of the student.
        """
        shape = list(self.shape)
        shape[self._time_axis] *= oversample
        generator = torch.Generator().manual_seed(0)
        inputs = [
            torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            for _ in range(self.setting.batch)
        ]
        samples = []
        for clip in range(self.setting.batch):
            known = dict(sample_id=clip, view=0, oversampled=oversample)
            sample = ActionDataSample(metainfo=known)
            label = clip % self.classes
            if self.multi_label:
                sample.set_field(torch.eye(self.classes)[label], 'gt_label')
            else:
                sample.set_gt_label(label)
            samples.append(sample)
        return dict(inputs=inputs, data_samples=samples)

    @cached_property
    def dataset(self) -> Any:
        """The training set, which may be unavailable: see :attr:`loading_problem`."""
        return self._loader().dataset

    @cached_property
    def loading_problem(self) -> Optional[str]:
        """Why the data set cannot be loaded, None if it can."""
        if not self.config.get('train_dataloader'):
            return 'the config has no train_dataloader'
        try:
            self.dataset[0]
        except Exception as error:
            return str(error).splitlines()[0]
        return None

    def loaded(self, cached: bool = False) -> Iterator[dict]:
        """Endless batches from the data set, loaded within the step.

        Args:
            cached: For the distiller with cached teachers, else for the student alone,
                which takes no more frames than it samples, and a label of each clip.
        """
        loader = self._loader(
            views=1 if cached else None,
            oversample=None if cached else 1,
            num_workers=0,
            persistent_workers=False,
            drop_last=len(self.dataset) >= self.setting.batch,
        )
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        return batches if cached else map(_labeled, batches)

    def loading_times(self) -> list[float]:
        """Seconds for each batch of the config's own loader, with nothing beside it."""
        batches = itertools.chain.from_iterable(itertools.repeat(self._loader()))
        times = []
        for _ in range(self.setting.warmup + self.setting.steps):
            start = time.perf_counter()
            next(batches)
            times.append(time.perf_counter() - start)
        return times[self.setting.warmup :]

    def _loader(
        self,
        views: Optional[int] = None,
        oversample: Optional[int] = None,
        **changes: Any,
    ) -> Any:
        settings = plain(self.config['train_dataloader'])
        settings.update(batch_size=self.setting.batch, **changes)
        if oversample is not None and 'oversample' in settings['dataset']:
            settings['dataset']['oversample'] = oversample
        if views is not None:
            settings['sampler'] = dict(settings['sampler'], views=views)
        return Runner.build_dataloader(settings, seed=0)


def _labeled(batch: dict[str, Any]) -> dict[str, Any]:
    """The same batch, in which clips without a label have the first one."""
    for sample in batch['data_samples']:
        sample.gt_label.clamp_(min=0)
    return batch
