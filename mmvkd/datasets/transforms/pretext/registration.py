"""Frame registration."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, cells
from mmvkd.registry import TRANSFORMS

CLASSES = ('same', 'left', 'right', 'up', 'down', 'in', 'out')
"""Where the view of the last frame lies, seen from that of the first; the label."""

# all windows of a clip together leave room for a random place
_REACH = 0.9
_STEPS = dict(left=(0, -1), right=(0, 1), up=(-1, 0), down=(1, 0))


@TRANSFORMS.register_module()
class FrameRegistration(PretextTask):
    """How must the last frame be moved to lie on the first?

    One frame of the clip, drawn, stands for all. Each is seen through a window of its
    own, which moves evenly from frame to frame: that of the last is the first one's,
    shifted by a part of its side, or scaled about its center by ``zoom`` or
    1 / ``zoom``; see :data:`CLASSES`. What moved in the clip itself would be one more
    motion, and the answer to another question. After arXiv 1804.10069 and 2104.00240;
    our reading.

    Short cuts that are shut besides those of :class:`PretextTask`:

    * *Borders.* All windows lie within the picture, at a random place and of a random
      size, so no edge is filled with anything.
    * *Resampling.* All windows, moved or not, are brought to the resolution of the
      smallest possible one and from there to the size of the picture. Larger ones lose
      more of their noise on the way, so each frame gets noise of a strength of its own.

    One is left: the first window has the same sides in all classes, so the last one is
    small in ``in`` and large in ``out``, which the size of things in it can tell.

    A clip without motion can be answered, one without any structure cannot.

    Args:
        shift: Distance of the last window from the first, as a part of their side.
        zoom: Ratio of the sides of the last and the first, above 1.
        smallest: Side of the smallest window, as a part of the picture's.
        noise: Most that is added, as a standard deviation in gray levels.
        **kwargs: See :class:`PretextTask`; ``still`` is the contrast within a frame,
            here.

    Raises:
        ValueError: if the windows do not fit into the picture.
    """

    num_classes = len(CLASSES)

    def __init__(
        self,
        shift: float = 0.8,
        zoom: float = 1.4,
        smallest: float = 0.32,
        noise: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shift, self.zoom, self.smallest = shift, zoom, smallest
        self.noise = noise
        # the first window may be the larger one, or the last
        self.largest = _REACH / max(zoom, 1 + shift)
        if not (shift > 0 and zoom > 1 and 0 < smallest * zoom <= self.largest):
            raise ValueError(
                f'shift={shift}, zoom={zoom}, smallest={smallest}, expected shift > 0, '
                'zoom > 1, smallest > 0 and '
                f'smallest · zoom · max(zoom, 1 + shift) ≤ {_REACH}'
            )

    def check(self, clip: np.ndarray) -> None:
        """Refuse a clip without structure.

        Raises:
            ValueError: if a frame of ``clip``, (V, T, H, W, 3), is flat.
        """
        if np.ptp(cells(clip), axis=(2, 3)).max(-1).min() <= self.still:
            raise ValueError('a picture of it is flat')

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Show one frame through windows that move, at the clip's size."""
        label = np.random.randint(self.num_classes)
        size = clip.shape[2:4]
        windows = self.windows(CLASSES[label], size, clip.shape[1])
        small = np.maximum(np.rint(self.smallest * np.array(size)), 1).astype(int)
        pictures = clip[:, np.random.randint(clip.shape[1])]
        seen = [[self._through(p, w, small) for w in windows] for p in pictures]
        return np.array(seen), label

    def windows(self, name: str, size: tuple[int, ...], length: int) -> np.ndarray:
        """Windows of the frames, (T, 2, 2): [[top, left], [bottom, right]] in pixels.

        Args:
            name: Of :data:`CLASSES`.
            size: (H, W).
            length: T.
        """
        # so that no class has a window smaller than the smallest, or beyond the picture
        side = np.random.uniform(self.smallest * self.zoom, self.largest)
        ratio = {'in': 1 / self.zoom, 'out': self.zoom}.get(name, 1.0)
        way = np.linspace(0, 1, length)[:, None]
        sides = side * ratio**way
        # upper left corners, seen from the first one's
        step = self.shift * side * np.array(_STEPS.get(name, (0, 0)))
        corners = way * step + (side - sides) / 2
        low = -corners.min(0)
        high = 1 - (corners + sides).max(0)
        corners += np.random.uniform(low, np.maximum(low, high))
        edges = np.stack([corners, corners + sides], 1) * size
        return np.clip(np.rint(edges).astype(int), 0, size)

    def _through(
        self, frame: np.ndarray, window: np.ndarray, small: np.ndarray
    ) -> np.ndarray:
        """What a window (2, 2) shows of a frame (H, W, 3), at the frame's size."""
        (top, left), (bottom, right) = window
        seen: np.ndarray = frame[top:bottom, left:right].astype(np.float32)
        seen = cv2.resize(
            seen, tuple(small[::-1].tolist()), interpolation=cv2.INTER_AREA
        )
        grain = np.random.normal(size=(*small, 1)) * np.random.uniform(0, self.noise)
        seen = (seen + grain).astype(np.float32)
        seen = cv2.resize(seen, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        if np.issubdtype(frame.dtype, np.integer):
            seen = np.clip(np.rint(seen), 0, 255)
        return seen.astype(frame.dtype)
