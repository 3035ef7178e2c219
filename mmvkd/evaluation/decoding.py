"""How long a loader's worker waits for a clip, before and after re-encoding."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvkd.datasets.prepare import as_mp4
from mmvkd.seeding import seeded


def decoding_times(
    source: str | os.PathLike, target: str | os.PathLike, names: Sequence[str]
) -> tuple[float, float]:
    """How long a loader's worker waits for a clip, without and with preparation.

    The time to open a video and decode 8 frames with decord as MMAction2 calls it, one
    from each eighth. The two versions take turns, and the same frames are drawn.

    Args:
        source: Folder of the videos.
        target: Folder of the prepared ones.
        names: Names of readable videos in ``source``; up to 32 of them are opened, 5
            times each.

    Returns:
        The medians, in seconds, before and after.
    """
    from mmaction.datasets.transforms import DecordDecode, DecordInit, SampleFrames

    steps = [DecordInit(), SampleFrames(clip_len=1, num_clips=8), DecordDecode()]
    times: tuple[list[float], list[float]] = ([], [])
    for epoch in range(5):
        for number, name in enumerate(names[:: -(-len(names) // 32)]):
            files = (Path(source, name), Path(target, as_mp4(name)))
            for file, found in zip(files, times):
                sample: Any = dict(filename=str(file), start_index=0)
                with seeded(0, epoch, number):
                    start = time.perf_counter()
                    for step in steps:
                        sample = step(sample)
                    found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
