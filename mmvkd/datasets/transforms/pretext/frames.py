"""Which frames of a video a pretext task is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmvkd.registry import TRANSFORMS


def frames_per_view(results: dict[str, Any]) -> int:
    """T of a view: segments of single frames form one view; a clip is a view."""
    single = results['clip_len'] == 1
    return int(results['num_clips'] if single else results['clip_len'])


class _Redraw(BaseTransform):
    """Draws the frames of each view anew, after a transform that samples frames."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``frame_inds``; the number of views and frames stays."""
        length = frames_per_view(results)
        views = len(np.reshape(results['frame_inds'], -1)) // length
        drawn = [self.draw(results, length) for _ in range(views)]
        inds = np.concatenate(drawn) + results['start_index']
        results['frame_inds'] = inds.astype(np.int32)
        return results

    def draw(self, results: dict[str, Any], length: int) -> np.ndarray:
        """Numbers of ``length`` frames, counted from the video's first."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class RandomWindow(_Redraw):
    """Frames from equal cells of a window of random length at a random place.

    This closes a shortcut. A codec spends more bits on key frames, which come at fixed
    distances from the video's start: where frames are sampled at fixed places, as in a
    test, or one from each fixed segment, the look of a single frame tells where in the
    video it was. Here, place and distances are random, in validation as well.

    A window is at most as long as the pipeline's own sampling reaches. One frame is
    drawn from each cell, so that none appears twice.

    Required keys: ``frame_inds``, ``total_frames``, ``start_index``, ``clip_len``,
    ``num_clips``, ``frame_interval`` where clips have several frames. Modified key:
    ``frame_inds``.

    Args:
        shortest: Shortest window, as a fraction of the longest.

    Raises:
        ValueError: if ``shortest`` is not in (0, 1]; in use, if a video has fewer
            frames than a view takes.
    """

    def __init__(self, shortest: float = 0.5) -> None:
        if not 0 < shortest <= 1:
            raise ValueError(f'shortest={shortest}, expected a part, in (0, 1]')
        self.shortest = shortest

    def draw(self, results: dict[str, Any], length: int) -> np.ndarray:
        """A window, and a frame from each of its cells."""
        total = results['total_frames']
        # a clip reaches as far as its frames' interval; single frames are spread over
        # the whole video
        interval = results.get('frame_interval') if results['clip_len'] > 1 else None
        longest = min(total, length * interval) if interval else total
        _require(longest, length)
        window = np.random.uniform(max(self.shortest * longest, length), longest)
        start = np.random.uniform(0, total - window)
        # integers at least 1 apart, as a cell is no shorter than a frame
        edges = np.floor(start + np.arange(length + 1) * (window / length))
        edges = np.minimum(edges, total).astype(int)
        return np.random.randint(edges[:-1], edges[1:])


@TRANSFORMS.register_module()
class RandomPace(_Redraw):
    """Evenly spaced frames, at one of several distances, from a random place on.

    Every video must be long enough for the largest distance, or short ones would give
    the pace away. So no pace repeats a frame.

    Required keys: ``frame_inds``, ``total_frames``, ``start_index``, ``clip_len``,
    ``num_clips``. Modified key: ``frame_inds``. Added key: ``pace``, the position of
    the distance in ``strides``.

    Args:
        strides: Distances, in frames of the video.

    Raises:
        ValueError: if a stride is below 1 or there is only one; in use, if a video has
            too few frames.
    """

    def __init__(self, strides: Sequence[int] = (1, 2, 4)) -> None:
        if len(strides) < 2 or min(strides) < 1:
            raise ValueError(f'strides={strides}, expected two or more, each from 1 on')
        self.strides = tuple(strides)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Draw the pace, which all views share, and the frames."""
        results['pace'] = np.random.randint(len(self.strides))
        return super().transform(results)

    def draw(self, results: dict[str, Any], length: int) -> np.ndarray:
        """Frames at the pace."""
        total = results['total_frames']
        _require(total, (length - 1) * max(self.strides) + 1)
        stride = self.strides[results['pace']]
        start = np.random.randint(total - (length - 1) * stride)
        return start + stride * np.arange(length)


def _require(count: int, needed: int) -> None:
    if count < needed:
        raise ValueError(f'{count} frames to draw from, {needed} are needed')
