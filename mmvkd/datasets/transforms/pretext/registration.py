"""Frame registration."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmvkd.datasets.transforms.pretext.task import PretextTask, cells
from mmvkd.registry import TRANSFORMS

CLASSES = ('same', 'left', 'right', 'up', 'down', 'in', 'out')
"""Where the view of the last frame lies, seen from that of the first; the label."""

# share of the picture that a clip's windows may span, to leave room for their place
_REACH = 0.9
_STEPS = dict(left=(0, -1), right=(0, 1), up=(-1, 0), down=(1, 0))


@TRANSFORMS.register_module()
class FrameRegistration(PretextTask):
    """How must the last frame be moved to match the first?

    One frame of the clip, drawn at random, replaces all others. Each frame shows it
    through a window of its own, which moves evenly from frame to frame: the last window
    is the first one, shifted by a fraction of its side, or scaled about its center by
    ``zoom`` or 1 / ``zoom``; see :data:`CLASSES`. Motion in the clip itself would be a
    second motion, and the answer to another question. After arXiv 1804.10069 and
    2104.00240; our reading.

    Shortcuts that are closed besides those of :class:`PretextTask`:

    * *Borders.* All windows lie within the picture, at a random place and of a random
      size, so no border has to be filled.
    * *Resampling.* All windows, moved or not, are brought to the resolution of the
      smallest possible one and from there to the size of the picture. Larger ones lose
      more of their noise on the way, so each frame gets noise of a random strength.

    One shortcut is left: the first window has the same sizes in all classes, so the
    last one is small for ``in`` and large for ``out``, which the size of objects in it
    can give away.

    A clip without motion can be used; one without any structure cannot.

    Args:
        shift: Distance of the last window from the first, as a fraction of their side.
        zoom: Ratio between the sides of the last window and the first, above 1.
        smallest: Side of the smallest window, as a fraction of the picture's.
        noise: Largest standard deviation of the added noise, in gray levels.
        **kwargs: See :class:`PretextTask`; here, ``still`` is for the contrast within a
            frame.

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
        # upper left corners, relative to the first one
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
        """The part of a frame (H, W, 3) in a window (2, 2), at the frame's size."""
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
