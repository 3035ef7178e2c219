"""Frame registration."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, cells
from mmvkd.registry import TRANSFORMS

CLASSES = ('same', 'left', 'right', 'up', 'down', 'in', 'out')
"""Where the view of the second half lies, seen from that of the first; the label."""

_STEPS = dict(left=(0, -1), right=(0, 1), up=(-1, 0), down=(1, 0))


@TRANSFORMS.register_module()
class FrameRegistration(PretextTask):
    """How must the second half of the clip be moved to lie on the first?

    Each half is seen through a window of its own. That of the second half is the first
    one's, shifted by a part of its side, or scaled about its center by ``zoom`` or
    1 / ``zoom``; see :data:`CLASSES`. After arXiv 1804.10069; our reading.

    Short cuts that are shut besides those of :class:`PretextTask`:

    * *Borders.* Both windows lie within the picture, at a random place and of a random
      size, so no edge is filled with anything.
    * *Resampling.* All windows, moved or not, are brought to the resolution of the
      smallest possible one and from there to the size of the picture.

    A clip without motion can be answered, one without any structure cannot.

    Args:
        shift: Distance of shifted windows, as a part of their side.
        zoom: Ratio of the sides of scaled windows, above 1.
        smallest: Side of the smallest window, as a part of the picture's.
        **kwargs: See :class:`PretextTask`; ``still`` is the contrast within a frame,
            here.

    Raises:
        ValueError: if the windows do not fit into the picture.
    """

    num_classes = len(CLASSES)

    def __init__(
        self,
        shift: float = 0.15,
        zoom: float = 1.25,
        smallest: float = 0.6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shift, self.zoom, self.smallest = shift, zoom, smallest
        # either window of a pair may be the larger one
        self.largest = 1 / max(zoom, 1 + shift)
        if not (shift > 0 and zoom > 1 and 0 < smallest * zoom <= self.largest):
            raise ValueError(
                f'shift={shift}, zoom={zoom}, smallest={smallest}, expected shift > 0, '
                'zoom > 1, smallest > 0 and smallest · zoom · max(zoom, 1 + shift) ≤ 1'
            )

    def check(self, clip: np.ndarray) -> None:
        """Refuse a clip without structure.

        Raises:
            ValueError: if every frame of ``clip``, (V, T, H, W, 3), is flat.
        """
        if np.ptp(cells(clip), axis=(2, 3)).max() <= self.still:
            raise ValueError('its pictures are flat')

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Crop each half by its window, and bring it back to the clip's size."""
        label = np.random.randint(self.num_classes)
        first, second = self.windows(CLASSES[label], clip.shape[2:4])
        half = clip.shape[1] // 2
        size = clip.shape[2:4]
        small = np.maximum(np.rint(self.smallest * np.array(size)), 1).astype(int)
        clip = clip.copy()
        for frame in (frame for view in clip for frame in view[:half]):
            frame[...] = _through(frame, first, small)
        for frame in (frame for view in clip for frame in view[half:]):
            frame[...] = _through(frame, second, small)
        return clip, label

    def windows(
        self, name: str, size: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Windows of both halves, each [[top, left], [bottom, right]] in pixels.

        Args:
            name: Of :data:`CLASSES`.
            size: (H, W).
        """
        pixels = np.array(size)
        # so that no class has a window smaller than the smallest, or beyond the picture
        side = np.random.uniform(self.smallest * self.zoom, self.largest)
        step = self.shift * side * np.array(_STEPS.get(name, (0, 0)))
        second = side * {'in': 1 / self.zoom, 'out': self.zoom}.get(name, 1.0)
        corner = step + (side - second) / 2
        # the corner of the first, so that both lie within [0, 1]²
        low = np.maximum(0, -corner)
        high = 1 - np.maximum(side, corner + second)
        start = np.random.uniform(low, np.maximum(low, high))
        return _pixels(start, side, pixels), _pixels(start + corner, second, pixels)


def _pixels(start: np.ndarray, side: float, size: np.ndarray) -> np.ndarray:
    corners = np.rint(np.stack([start, start + side]) * size).astype(int)
    return np.clip(corners, 0, size)


def _through(frame: np.ndarray, window: np.ndarray, small: np.ndarray) -> np.ndarray:
    """What a window (2, 2) shows of a frame (H, W, 3), at the frame's size."""
    (top, left), (bottom, right) = window
    seen = frame[top:bottom, left:right]
    seen = cv2.resize(seen, tuple(small[::-1].tolist()), interpolation=cv2.INTER_AREA)
    return cv2.resize(seen, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
