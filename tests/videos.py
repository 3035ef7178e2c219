"""Tiny mp4 files and their annotation lists."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import pytest

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


def encode(
    path: Path,
    frames: int = 24,
    codec: str = 'libx264',
    gop: int = 250,
    size: tuple[int, int] = (64, 48),
    times: Optional[Sequence[int]] = None,
    turned: int = 0,
    **context: Any,
) -> None:
    """A drifting texture with each frame's number in it, see :func:`number`.

    Args:
        path: The file; its extension decides the container.
        frames: How many.
        codec: Of FFmpeg.
        gop: Largest distance of key frames.
        size: Width and height.
        times: When frames are shown, in milliseconds; default: 25 in a second.
        turned: Degrees that a player turns it by, counterclockwise.
        context: Attributes of the encoder, such as ``pix_fmt`` and ``color_range``.
    """
    import av

    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    scene = cv2.resize(noise, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        encoder = stream.codec_context
        encoder.width, encoder.height, encoder.pix_fmt = width, height, 'yuv420p'
        encoder.gop_size = gop
        for name, value in context.items():
            setattr(encoder, name, value)
        if times is not None:
            encoder.time_base = Fraction(1, 1000)
        if turned:
            if not hasattr(stream, 'set_display_rotation'):
                pytest.skip(f'PyAV {av.__version__} writes no rotation')
            stream.set_display_rotation(turned)
        for t in range(frames):
            image = np.roll(scene, (t, 2 * t), (0, 1))[:height, :width].copy()
            for bit in range(5):
                image[:8, 8 * bit : 8 * bit + 8] = 255 * (t >> bit & 1)
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame = frame.reformat(
                format=encoder.pix_fmt,
                dst_colorspace=context.get('colorspace'),
                dst_color_range=context.get('color_range'),
            )
            if times is not None:
                frame.pts, frame.time_base = times[t], encoder.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def number(image: np.ndarray) -> int:
    """Which frame of :func:`encode` an image (H, W, 3) shows, at any size."""
    cell = image.shape[0] // 6
    row = image[cell // 2, cell // 2 : 5 * cell : cell].mean(axis=-1)
    return sum(1 << bit for bit, level in enumerate(row) if level > 127)


def remux(source: Path, target: Path, first: int = 0, **options: str) -> None:
    """Copy packets; an edit list hides the first frames, with H.264 of 25 a second."""
    import av

    with av.open(str(source)) as old, av.open(str(target), 'w', options=options) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        start = int(first / 25 / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                packet.pts -= start
                packet.dts -= start
                new.mux(packet)


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
    """Transforms that load ``frames`` frames of ``size`` pixels.

    ``decoder`` is MMAction2's, such as ``'Decord'``, or ours, such as ``'pyav'``.
    """
    first = [dict(type=f'{decoder}Init')] if decoder != 'RawFrame' else []
    decode = dict(type=f'{decoder}Decode')
    if decoder.islower():
        first = [dict(type='mmvkd.OpenVideo', backend=decoder)]
        decode = dict(type='mmvkd.DecodeVideo')
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
        decode,
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
