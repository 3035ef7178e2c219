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

    The frames are ``strides[label]`` frames of the video apart. They are evenly spaced
    at every pace, and none is there twice, for either would tell the pace without any
    motion. A faster clip passes more of the codec's key frames, which is not hidden.
    Still clips are asked about, too: to refuse them would tell the pace of the others.
    After arXiv 2008.05861; our reading.

    Required key besides: ``pace``, from :class:`RandomPace` with the same strides.

    Args:
        strides: Distances, in frames of the video.
        **kwargs: See :class:`PretextTask`.

    Raises:
        UnfitPipelineError: if the frames were not drawn for it.
    """

    def __init__(self, strides: Sequence[int] = (1, 2, 4), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = tuple(strides)
        self.num_classes = len(self.strides)

    @property
    def sampling(self) -> RandomPace:
        """Draws the pace."""
        return RandomPace(self.strides)

    def check(self, clip: np.ndarray) -> None:
        """Refuse no clip: the slower a clip is played the stiller it is."""

    def ask(self, clip: np.ndarray, results: dict[str, Any]) -> tuple[np.ndarray, int]:
        """The clip is as it was drawn."""
        if 'pace' not in results:
            raise UnfitPipelineError(
                'PlaybackPace needs mmvkd.RandomPace behind the sampling'
            )
        return clip, results['pace']
