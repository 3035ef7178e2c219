"""Frame sorting."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, either_way, parts_of
from mmvkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FrameSorting(PretextTask):
    """In which order were the parts of the clip put?

    The T frames of a clip form P equal parts, put in a random order; half of the time,
    the whole is then played backwards. An order and its reversal are one class, because
    many motions look alike both ways:

        num_classes = P! / 2, which is 12 for P = 4

    The label is the order's lexicographic index among those orders that come before
    their own reversal. After arXiv 1708.01246 and 1804.10069; our reading.

    Args:
        parts: P, a divisor of T, at least 3.
        **kwargs: See :class:`PretextTask`.

    Raises:
        ValueError: if ``parts`` is below 3, or does not divide a clip.
    """

    def __init__(self, parts: int = 4, **kwargs: Any) -> None:
        if parts < 3:
            raise ValueError(f'parts={parts}, expected at least 3')
        super().__init__(**kwargs)
        self.parts = parts
        self.orders = [o for o in permutations(range(parts)) if o < o[::-1]]
        self.num_classes = len(self.orders)

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Put the parts in order ``label``."""
        length = clip.shape[1]
        each = parts_of(length, self.parts, 'frame sorting')
        label = np.random.randint(self.num_classes)
        order = np.arange(length).reshape(self.parts, each)[list(self.orders[label])]
        return either_way(clip[:, order.reshape(-1)]), label
