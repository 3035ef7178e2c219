"""Odd-one-out."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, either_way, parts_of
from mmvkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class OddOneOut(PretextTask):
    """Which part of the clip is shuffled?

    The T frames form P equal parts in their true order, forward or backward. But within
    one part, no frame is in its place. After arXiv 1611.06646 and 1804.10069; our
    reading.

    Args:
        parts: P, a divisor of T, of at least 2 frames each; also the number of classes.
        **kwargs: See :class:`PretextTask`.

    Raises:
        ValueError: if ``parts`` is below 2, or does not divide a clip.
    """

    def __init__(self, parts: int = 4, **kwargs: Any) -> None:
        if parts < 2:
            raise ValueError(f'parts={parts}, expected at least 2')
        super().__init__(**kwargs)
        self.num_classes = parts

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Shuffle part ``label``."""
        length = clip.shape[1]
        each = parts_of(length, self.num_classes, 'odd-one-out', shortest=2)
        label = np.random.randint(self.num_classes)
        order = np.arange(length).reshape(-1, each)
        inside = np.arange(each)
        # about one in e permutations leaves nothing in its place
        while (inside == np.arange(each)).any():
            inside = np.random.permutation(each)
        order[label] = order[label][inside]
        return either_way(clip)[:, order.reshape(-1)], label
