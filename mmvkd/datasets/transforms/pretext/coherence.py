"""Temporal coherence."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, either_way
from mmvkd.errors import UnfitPipelineError
from mmvkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TemporalCoherence(PretextTask):
    """Are the frames in their true order (0), or have two changed places (1)?

    The two are at least T / 4 apart. Both kinds of clips hold the same frames, and both
    are played backwards half of the time, so neither a frame nor their mean gives the
    answer away. After arXiv 1603.08561 and 1804.10069; our reading.

    Args:
        **kwargs: See :class:`PretextTask`.

    Raises:
        UnfitPipelineError: if a clip has fewer than 4 frames: exchanging the ends of 3
            plays them backwards.
    """

    num_classes = 2

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Exchange two frames, or none."""
        length = clip.shape[1]
        if length < 4:
            raise UnfitPipelineError(
                f'temporal coherence takes 4 frames or more, the clip has {length}'
            )
        order = np.arange(length)
        label = np.random.randint(2)
        if label:
            apart = np.random.randint(-(-length // 4), length)
            first = np.random.randint(length - apart)
            order[[first, first + apart]] = first + apart, first
        return either_way(clip[:, order]), label
