"""Tiny mp4 files and their annotation lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = 4


def write_video(path: Path, seed: int = 0, frames: int = 12, size: int = 40) -> None:
    """A square that drifts over a textured background, as mp4."""
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 160, (5, 5, 3), dtype=np.uint8)
    scene = cv2.resize(scene, (size, size), interpolation=cv2.INTER_LINEAR)
    dx, dy = rng.integers(-2, 3, 2)
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (size, size)
    )
    for t in range(frames):
        frame = scene.copy()
        x, y = (int(size // 2 + d * t) % (size - 8) for d in (dx, dy))
        frame[y : y + 8, x : x + 8] = 255 - 20 * (seed % 5)
        writer.write(frame)
    writer.release()


def write_frames(folder: Path, seed: int = 0, frames: int = 12, size: int = 40) -> None:
    """The like as JPEG files ``img_00001.jpg`` and on."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for t in range(frames):
        frame = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        frame = cv2.resize(frame, (size, size))
        cv2.imwrite(str(folder / f'img_{t + 1:05d}.jpg'), frame)


def write_list(
    folder: Path, count: int, name: str = 'train', broken: tuple[int, ...] = ()
) -> str:
    """Write ``count`` clips and their list, those of ``broken`` as rubbish.

    Returns:
        The list, lines of ``path label`` with labels 0 to 3 in turn.
    """
    videos = folder / name
    videos.mkdir(parents=True)
    lines = []
    for i in range(count):
        path = videos / f'clip{i:02d}.mp4'
        if i in broken:
            path.write_bytes(b'no video at all' * 20)
        else:
            write_video(path, seed=100 * len(name) + i)
        lines.append(f'{path} {i % CLASSES}\n')
    annotations = folder / f'{name}.txt'
    annotations.write_text(''.join(lines))
    return str(annotations)


def pipeline(
    augment: bool = True,
    frames: int = 4,
    size: int = 32,
    test_mode: bool = False,
    decoder: str = 'Decord',
) -> list[dict[str, Any]]:
    """Transforms that load ``frames`` frames of ``size`` pixels."""
    first = [dict(type=f'{decoder}Init')] if decoder != 'RawFrame' else []
    spatial = [dict(type='Resize', scale=(size, size), keep_ratio=False)]
    if augment:
        spatial = [
            dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
            *spatial,
            dict(type='Flip', flip_ratio=0.5),
        ]
    return [
        *first,
        dict(
            type='SampleFrames',
            clip_len=1,
            frame_interval=1,
            num_clips=frames,
            test_mode=test_mode,
        ),
        dict(type=f'{decoder}Decode'),
        *spatial,
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs'),
    ]


def dataset(ann_file: str, augment: bool = True, **settings: Any) -> dict[str, Any]:
    """Config of a seeded video dataset over a list."""
    test_mode = settings.pop('test_mode', False)
    outer = {k: settings.pop(k) for k in ('oversample',) if k in settings}
    return dict(
        type='mmvkd.SeededDataset',
        dataset=dict(
            type='VideoDataset',
            ann_file=ann_file,
            data_prefix=dict(video=''),
            pipeline=settings.pop('pipeline', pipeline(augment, test_mode=test_mode)),
            test_mode=test_mode,
            **settings,
        ),
        **outer,
    )
