"""More frames inside the segments that a pipeline samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmvkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OversampleFrames(BaseTransform):
    """Loads ``factor`` frames for each sampled one, for teachers that take more.

    The extra frames are spread evenly between two sampled frames of a clip; the sampled
    ones stay, at every ``factor``-th place, so a student that takes these sees what it
    would see alone.

    Required keys: ``frame_inds``, ``total_frames``, ``start_index``, ``clip_len``,
    ``num_clips``. Modified keys: ``frame_inds``, and ``clip_len`` or ``num_clips``.
    Added key: ``oversampled``, the factor.

    Args:
        factor: Frames per sampled frame, at least 1.
    """

    def __init__(self, factor: int) -> None:
        if factor < 1:
            raise ValueError(f'factor must be at least 1, got {factor}')
        self.factor = factor

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Refine ``frame_inds``."""
        # one clip of single frames, or `num_clips` clips of `clip_len` frames
        single = results['clip_len'] == 1
        inds = np.asarray(results['frame_inds'])
        clips = inds.reshape(1, -1) if single else inds.reshape(-1, results['clip_len'])
        start, total = results['start_index'], results['total_frames']
        gap = np.diff(clips, axis=1)
        # a clip longer than its video starts again
        loops = np.pad(gap < 0, ((0, 0), (0, 1)))
        gap = np.where(gap < 0, gap + total, gap)
        last = gap[:, -1:] if clips.shape[1] > 1 else np.full((len(clips), 1), 1)
        steps = np.concatenate([gap, last], axis=1)[..., None]
        offsets = np.arange(self.factor) * steps / self.factor
        refined = clips[..., None] + offsets.astype(inds.dtype)
        refined = np.where(
            loops[..., None],
            (refined - start) % total + start,
            np.minimum(refined, total - 1 + start),
        )
        results['frame_inds'] = refined.reshape(-1).astype(inds.dtype)
        results['num_clips' if single else 'clip_len'] *= self.factor
        results['oversampled'] = self.factor
        return results

    def insert_into(self, transforms: list) -> None:
        """Insert the transform after the one of a pipeline that samples frames.

        Raises:
            ValueError: if the pipeline samples no frames.
        """
        for place, transform in enumerate(transforms):
            if 'Sample' in type(transform).__name__:
                transforms.insert(place + 1, self)
                return
        names = ', '.join(type(transform).__name__ for transform in transforms)
        raise ValueError(
            f'oversample needs a pipeline that samples frames; it is {names}'
        )
