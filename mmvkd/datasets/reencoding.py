"""One video re-encoded for training: small, with a key frame every few frames.

To get a frame, a decoder starts at the key frame before it. Most videos have one only
every few seconds, so sparse sampling decodes nearly all of their frames.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from mmvkd.datasets.widths import UNREADABLE_WIDTHS
from mmvkd.errors import UnreadableClipError

_MARK = 'mmvkd.prepare '
# no arithmetic coding, no deblocking, no frames that refer to later ones
_FAST_TO_DECODE = dict(tune='fastdecode', bf='0', threads='1')


@dataclass(frozen=True)
class Settings:
    """How videos are encoded: H.264 in mp4, 8 bits, 4:2:0, fast to decode, no sound.

    Args:
        short_side: Largest short side, in pixels, even; smaller videos stay small.
        gop: Largest distance between key frames, in frames.
        crf: Quality of x264, 0 (lossless) to 51.

    Raises:
        ValueError: if a value is out of range.
    """

    short_side: int = 256
    gop: int = 12
    crf: int = 23

    def __post_init__(self) -> None:
        even = self.short_side > 0 and self.short_side % 2 == 0
        rules = (
            ('short_side', even, 'an even number of pixels'),
            ('gop', self.gop > 0, 'at least 1'),
            ('crf', 0 <= self.crf <= 51, '0 to 51'),
        )
        for name, ok, expected in rules:
            if not ok:
                raise ValueError(f'{name}={getattr(self, name)}, expected {expected}')

    def size(self, width: int, height: int, sideways: bool = False) -> tuple[int, int]:
        """Size for a video of this size: even, no larger, of the same shape.

        Args:
            width: Of a frame.
            height: Of a frame.
            sideways: Whether frames are to be turned by 90 degrees.
        """
        scale = min(1.0, self.short_side / min(width, height))

        def fitted(side: int, shown_as_width: bool) -> int:
            fit = max(2, min(2 * round(side * scale / 2), side - side % 2))
            return fit - 2 if shown_as_width and fit in UNREADABLE_WIDTHS else fit

        return fitted(width, not sideways), fitted(height, sideways)


def prepare_video(
    source: str | os.PathLike, target: str | os.PathLike, settings: Settings
) -> bool:
    """Re-encode a video, unless that has been done.

    Frames keep their number, order and times; those of AVI, which stores no times,
    follow its frame rate. Pictures marked to be shown rotated are rotated.

    Args:
        source: The video.
        target: The new one.
        settings: How to encode.

    Returns:
        Whether it was encoded now.

    Raises:
        UnreadableClipError: if ``source`` cannot be decoded to its end.
        FileExistsError: if ``target`` is a video of another origin.
        OSError: if ``target`` cannot be written.
    """
    import av

    source, target = Path(source), Path(target)
    if not source.is_file():
        raise UnreadableClipError('no such file')
    origin = dict(asdict(settings), source_bytes=source.stat().st_size)
    comment = _MARK + json.dumps(origin)
    if _has(target, comment):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    # the same name on every try: what a killed run leaves is overwritten
    partial = target.with_name(f'.part-{target.name}')
    try:
        _encode(_decoded(source), partial, settings, comment)
        os.replace(partial, target)
    except av.FFmpegError as error:  # of writing; reading raises another one
        raise OSError(f"'{target}' cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return True


def _has(path: Path, comment: str) -> bool:
    """Whether there is a complete file with this comment.

    Raises:
        FileExistsError: if it is a video of another origin.
    """
    import av

    try:
        with av.open(str(path)) as container:
            found = container.metadata.get('comment', '')
    except (av.FFmpegError, OSError):
        return False
    if not found.startswith(_MARK):
        raise FileExistsError(f"'{path}' is there and was not made by this tool")
    return found == comment


def _decoded(source: Path) -> Iterator[Any]:
    """Yield the video stream of a file, and then its frames.

    Raises:
        UnreadableClipError: if there is no stream or frame, or one cannot be read.
    """
    import av

    count = 0
    try:
        with av.open(str(source)) as container:
            stream = container.streams.best('video')
            if stream is None:
                raise UnreadableClipError('no video in it')
            yield stream
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise UnreadableClipError(f'damaged or cut after {count} frames')
                for frame in packet.decode():
                    if container.format.name == 'avi':
                        frame.pts = None  # FFmpeg made it up
                    yield frame
                    count += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, 'strerror', None) or str(error)
        raise UnreadableClipError(f'{why}, after {count} frames') from None
    if not count:
        raise UnreadableClipError('no frame in it')


def _encode(
    decoded: Iterator[Any], path: Path, settings: Settings, comment: str
) -> None:
    """Write the frames of a stream to a file."""
    import av
    from av.video.frame import PictureType

    source, first = next(decoded), next(decoded)
    rate = Fraction(source.average_rate or source.guessed_rate or 25)
    timed = first.pts is not None
    time_base = source.time_base if timed else 1 / rate
    sideways = first.rotation % 180 != 0
    width, height = settings.size(first.width, first.height, sideways)
    turn = _turner(first.rotation, width, height, time_base)
    with av.open(str(path), 'w', format='mp4') as container:
        container.metadata['comment'] = comment
        options = dict(_FAST_TO_DECODE, g=str(settings.gop), crf=str(settings.crf))
        stream = container.add_stream('libx264', rate=rate, options=options)
        context = stream.codec_context
        context.width, context.height = (height, width) if sideways else (width, height)
        context.pix_fmt = 'yuv420p'
        context.time_base = time_base
        for name in ('color_range', 'colorspace', 'color_primaries', 'color_trc'):
            setattr(context, name, getattr(source.codec_context, name))
        shape = source.sample_aspect_ratio
        if shape:
            context.sample_aspect_ratio = 1 / shape if sideways else shape
        last = -1
        for count, frame in enumerate(chain((first,), decoded)):
            # x264 refuses times that do not grow, which some cameras write
            shown = frame.pts - first.pts if timed and frame.pts is not None else count
            last = max(shown, last + 1)
            frame = frame.reformat(width, height, 'yuv420p', interpolation='BICUBIC')
            frame = turn(frame)
            frame.pts, frame.time_base = last, time_base
            frame.pict_type = PictureType.NONE  # or it would stay a key frame
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _turner(
    rotation: int, width: int, height: int, time_base: Fraction
) -> Callable[[Any], Any]:
    """A function that turns frames counterclockwise, by a multiple of 90 degrees."""
    import av

    filters = {
        90: ['transpose=cclock'],
        180: ['hflip', 'vflip'],
        270: ['transpose=clock'],
    }.get(rotation % 360)
    if filters is None:
        return lambda frame: frame
    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(
            width=width,
            height=height,
            format=av.VideoFormat('yuv420p'),
            time_base=time_base,
        ),
        *(graph.add(*name.split('=')) for name in filters),
        graph.add('buffersink'),
    ]
    graph.link_nodes(*nodes).configure()

    def turn(frame: Any) -> Any:
        graph.push(frame)
        return graph.pull()

    return turn
