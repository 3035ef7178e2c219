"""Whole clips: their contrast, and their direction in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from mmcv.transforms import BaseTransform

from mmvkd.registry import TRANSFORMS

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@TRANSFORMS.register_module()
class StandardizeClip(BaseTransform):
    """Brings each clip to the same mean and contrast, for dim or infrared recordings.

        out_c = (clip − m) / (s + ε) · std_c + mean_c

    with ``m`` and ``s`` over all sampled frames, pixels and channels of the clip, not
    over those that :class:`OversampleFrames` added. A model whose preprocessor
    normalizes by this mean and std then sees a clip of mean 0, contrast 1.

    Required and modified key: ``imgs``, frames (H, W, 3), float32 afterwards.

    Args:
        mean: Mean of each channel afterwards, in gray levels.
        std: Standard deviation of each channel afterwards.
        eps: ε in gray levels, for clips without contrast.
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        eps: float = 1.0,
    ) -> None:
        self.mean = np.asarray(mean, dtype=np.float32)
        self.std = np.asarray(std, dtype=np.float32)
        self.eps = eps

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace ``imgs``."""
        clip = np.stack(results['imgs']).astype(np.float32)
        own = clip[:: results.get('oversampled', 1)]
        center, contrast = own.mean(dtype=np.float64), own.std(dtype=np.float64)
        clip = (clip - np.float32(center)) / np.float32(contrast + self.eps)
        results['imgs'] = list(clip * self.std + self.mean)
        return results


@TRANSFORMS.register_module()
class ReverseClip(BaseTransform):
    """Plays a clip backwards with some probability, and maps its label.

    Required key: ``imgs``, and ``label`` with a map. Modified keys: the same. After
    :class:`OversampleFrames`, the first sampled frame, now the last, is repeated,
    because no frames were loaded before it.

    Args:
        ratio: Probability of a reversal.
        label_map: Labels that change with the direction of time; others stay.
    """

    def __init__(
        self, ratio: float = 0.5, label_map: Optional[Mapping[int, int]] = None
    ) -> None:
        if not 0 <= ratio <= 1:
            raise ValueError(f'ratio={ratio}, expected a probability')
        self.ratio = ratio
        self.label_map = dict(label_map or {})

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Reverse ``imgs``, or leave them."""
        if np.random.rand() < self.ratio:
            # a sampled frame stays in front of the extra ones loaded with it
            extra = results.get('oversampled', 1) - 1
            imgs = results['imgs'][::-1][extra:]
            results['imgs'] = [*imgs, *imgs[-1:] * extra]
            if self.label_map:
                label = results['label']
                results['label'] = self.label_map.get(label, label)
        return results
