"""Playback pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmvkd.datasets.transforms.pretext.frames import RandomPace
from mmvkd.datasets.transforms.pretext.task import PretextTask
from mmvkd.errors import UnfitPipelineError
from mmvkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PlaybackPace(PretextTask):
    """How fast is the clip played?

    The frames are ``strides[label]`` frames of the video apart. At every pace they are
    evenly spaced and none appears twice; otherwise the pace could be told without any
    motion. A faster clip passes more of the codec's key frames, which is not hidden.
    Still clips are used, too: refusing them would give away the pace of the others.
    After arXiv 2008.05861; our reading.

    Also required: the key ``pace``, from :class:`RandomPace` with the same strides.

    Args:
        strides: Distances, in frames of the video.
        **kwargs: See :class:`PretextTask`.

    Raises:
        UnfitPipelineError: if :class:`RandomPace` did not draw the frames.
    """

    def __init__(self, strides: Sequence[int] = (1, 2, 4), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = tuple(strides)
        self.num_classes = len(self.strides)

    @property
    def sampling(self) -> RandomPace:
        """The transform that draws the pace."""
        return RandomPace(self.strides)

    def check(self, clip: np.ndarray) -> None:
        """Refuse no clip: the slower a clip is played, the less moves in it."""

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """The clip as it was drawn, and its pace."""
        if 'pace' not in results:
            raise UnfitPipelineError(
                'PlaybackPace needs mmvkd.RandomPace behind the sampling'
            )
        return clip, results['pace']
