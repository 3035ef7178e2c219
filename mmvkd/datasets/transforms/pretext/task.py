"""What all pretext tasks share: one label per clip, made from the clip alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmvkd.datasets.transforms.pretext.frames import RandomWindow, frames_per_view
from mmvkd.errors import UnfitPipelineError

_CELLS = 8  # a side


class PretextTask(BaseTransform):
    """A question about a clip, on which any recognizer of frames can be trained.

    A task comes after every transform that changes pictures, before ``FormatShape``: so
    a flip that swaps labels never sees the task's label, and the task reads none. The
    shape and number of frames stay. All views of a clip get the same question.

    Randomness comes from NumPy's generator, which
    :class:`~mmvkd.datasets.seeded.SeededDataset` seeds for each sample;
    :class:`~mmvkd.datasets.pretext.PretextDataset` puts the task into a pipeline.

    Three shortcuts are closed here, for every task:

    * *Chromatic aberration* (arXiv 1505.05192). A lens shifts red against blue, more so
      farther from its axis, so colors tell where in the picture a patch was. One
      channel, drawn per clip, replaces all three.
    * *Still clips.* Where nothing moves, order and pace cannot be told. Such a clip
      raises a ``ValueError``, and the data set takes another one.
    * *Key frames* of the codec; see :attr:`sampling`.

    Required keys: ``imgs``, frames (H, W, 3), ``clip_len``, ``num_clips``. Modified
    key: ``imgs``. Added key: ``label``.

    Args:
        color: Keep the colors.
        still: A clip is still if no cell of an 8 × 8 grid changes by more than this, in
            gray levels, when it is averaged over the cell and so over noise.
    """

    num_classes: int
    """Classes that the label may be."""

    def __init__(self, color: bool = False, still: float = 2.0) -> None:
        self.color = color
        self.still = still

    @property
    def sampling(self) -> BaseTransform:
        """The transform that draws the frames, after the pipeline's own sampling."""
        return RandomWindow()

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``imgs`` by the question and ``label`` by its answer."""
        frames = np.stack(results['imgs'])
        clip = frames.reshape(-1, frames_per_view(results), *frames.shape[1:])
        if not self.color:
            channel = np.random.randint(clip.shape[-1])
            clip = clip[..., [channel] * clip.shape[-1]]
        self.check(clip)
        clip, label = self.ask(clip, results)
        results['imgs'] = list(clip.reshape(frames.shape))
        results['label'] = int(label)
        return results

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """The changed clip and its label.

        Args:
            clip: (V, T, H, W, 3), V views of T frames.
            results: The results of the pipeline so far.
        """
        raise NotImplementedError

    def check(self, clip: np.ndarray) -> None:
        """Refuse a clip for which the task has no answer.

        Raises:
            ValueError: if nothing moves in ``clip``, (V, T, H, W, 3).
        """
        if np.ptp(cells(clip), axis=1).max() <= self.still:
            raise ValueError('nothing moves in it')

    def insert_into(self, transforms: list) -> None:
        """Put the task and its sampling into a pipeline.

        Raises:
            ValueError: if the pipeline samples or formats no frames.
        """
        names = [type(transform).__name__ for transform in transforms]
        samples = [place for place, name in enumerate(names) if 'Sample' in name]
        if not samples or 'FormatShape' not in names:
            raise ValueError(
                'a pretext task needs a pipeline that samples frames and ends in '
                f'FormatShape; it is {", ".join(names)}'
            )
        transforms.insert(names.index('FormatShape'), self)
        transforms.insert(samples[0] + 1, self.sampling)


def cells(clip: np.ndarray) -> np.ndarray:
    """Means over an 8 × 8 grid: (V, T, H, W, C) to (V, T, 8, 8, C), float32."""
    frames = clip.reshape(-1, *clip.shape[2:]).astype(np.float32)
    size = (_CELLS, _CELLS)
    means = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]
    return np.reshape(means, (*clip.shape[:2], *size, -1))


def parts_of(length: int, parts: int, task: str, shortest: int = 1) -> int:
    """Frames per part.

    Raises:
        UnfitPipelineError: if the frames make no equal parts, or too short ones.
    """
    if length % parts or length // parts < shortest:
        raise UnfitPipelineError(
            f'{task} takes a multiple of {parts} frames, at least {parts * shortest}; '
            f'the clip has {length}'
        )
    return length // parts


def either_way(clip: np.ndarray) -> np.ndarray:
    """The clip (V, T, …) or, half of the time, the clip played backwards."""
    return clip[:, ::-1] if np.random.rand() < 0.5 else clip
