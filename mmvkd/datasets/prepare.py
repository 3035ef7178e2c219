"""Videos re-encoded for training: small, and with a key frame every few frames.

To get a frame, a decoder starts at the key frame before it. Most videos have one only
every few seconds, so sparse sampling decodes nearly all of their frames.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Union

from rich.console import Console
from rich.progress import track

from mmvkd.datasets.transforms.decoders import require
from mmvkd.datasets.workers import in_processes
from mmvkd.errors import UnreadableClipError
from mmvkd.files import write_text
from mmvkd.seeding import seeded

SUFFIXES = (
    *('.3gp', '.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg'),
    *('.ogv', '.ts', '.webm', '.wmv'),
)
"""What counts as a video in a folder."""

UNREADABLE = 'unreadable.txt'
"""Names the unreadable files, in the folder of the prepared ones."""

_MARK = 'mmvkd.prepare '
# no arithmetic coding, no deblocking, no frames that refer to later ones
_FAST_TO_DECODE = dict(tune='fastdecode', bf='0', threads='1')
_File = Union[str, os.PathLike]


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

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Size for a video of this size: even, no larger, of the same shape."""
        scale = min(1.0, self.short_side / min(width, height))

        def fitted(side: int) -> int:
            return max(2, min(2 * round(side * scale / 2), side - side % 2))

        return fitted(width), fitted(height)


@dataclass
class Report:
    """What became of the videos.

    Attributes:
        written: Names of those encoded now.
        kept: Names of those that an earlier run had encoded.
        unreadable: Why the others cannot be read, by name.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def prepare_videos(
    source: _File,
    target: _File,
    lists: Sequence[_File] = (),
    settings: Settings = Settings(),
    workers: int = 1,
) -> Report:
    """Re-encode the videos of a folder into another one, under the same names.

    A video gets its name when it is complete, and holds its settings in its comment. So
    a killed run resumes where it stopped, and other settings encode anew. The extension
    becomes ``.mp4``; lists with the new names are written last. An unreadable clip
    stays in its list, because a data set must not shrink unnoticed; ``unreadable.txt``
    names it.

    Args:
        source: Folder of the videos.
        target: Folder of the new ones.
        lists: Annotation lists, lines ``file label`` with files in ``source``. Only
            what they name is encoded; without lists, every video below ``source``.
        settings: How to encode.
        workers: Processes.

    Returns:
        What became of each video.

    Raises:
        FileNotFoundError: if ``source`` or a list is missing, or no video is there.
        FileExistsError: if ``target`` holds a video of another origin.
        ValueError: if a list is malformed, or folders, lists or files conflict.
        ImportError: if PyAV is missing.
        OSError: if a video cannot be written, or a process is killed.
    """
    require('pyav')
    source, target = Path(os.path.abspath(source)), Path(os.path.abspath(target))
    if not source.is_dir():
        raise FileNotFoundError(f"'{source}' is no folder")
    if source in (target, *target.parents):
        raise ValueError(f"'{target}' lies in '{source}', expected another folder")
    renamed = [_Renamed.of(Path(path), source, target) for path in lists]
    if len({entry.path for entry in renamed}) < len(renamed):
        raise ValueError('two lists have the same name')
    names = chain.from_iterable(r.names for r in renamed) if lists else _videos(source)
    jobs = _jobs(source, target, names, settings)
    if not jobs:
        raise FileNotFoundError(f"no videos in '{source}'")

    report = Report()
    for job, outcome in _told(in_processes(_outcome, jobs, workers), len(jobs)):
        if isinstance(outcome, str):
            report.unreadable[job.name] = outcome
        else:
            (report.written if outcome else report.kept).append(job.name)
    problems = target / UNREADABLE
    if report.unreadable:
        lines = [f'{name}: {why}\n' for name, why in sorted(report.unreadable.items())]
        write_text(problems, ''.join(lines))
    elif problems.exists():
        problems.unlink()
    for entry in renamed:
        write_text(entry.path, entry.text)
    return report


def prepare_video(source: _File, target: _File, settings: Settings) -> bool:
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
    told = dict(asdict(settings), source_bytes=source.stat().st_size)
    comment = _MARK + json.dumps(told)
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


def sampling_times(
    source: _File, target: _File, names: Sequence[str], rounds: int = 5
) -> tuple[float, float]:
    """How long a loader's worker waits for a clip, without and with preparation.

    The time to open a video and decode 8 frames with decord as MMAction2 calls it, one
    from each eighth. The two versions take turns, and the same frames are drawn.

    Args:
        source: Folder of the videos.
        target: Folder of the prepared ones.
        names: Names of readable videos in ``source``; up to 32 of them are used.
        rounds: How often each one is opened.

    Returns:
        The medians, in seconds, before and after.
    """
    from mmaction.datasets.transforms import DecordDecode, DecordInit, SampleFrames

    steps = [DecordInit(), SampleFrames(clip_len=1, num_clips=8), DecordDecode()]
    times: tuple[list[float], list[float]] = ([], [])
    for epoch in range(rounds):
        for number, name in enumerate(names[:: -(-len(names) // 32)]):
            files = (Path(source, name), Path(target, _as_mp4(name)))
            for file, found in zip(files, times):
                sample: Any = dict(filename=str(file), start_index=0)
                with seeded(0, epoch, number):
                    start = time.perf_counter()
                    for step in steps:
                        sample = step(sample)
                    found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


# -- one video -------------------------------------------------------------------------


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
    width, height = settings.size(first.width, first.height)
    turn = _turner(first.rotation, width, height, time_base)
    with av.open(str(path), 'w', format='mp4') as container:
        container.metadata['comment'] = comment
        options = dict(_FAST_TO_DECODE, g=str(settings.gop), crf=str(settings.crf))
        stream = container.add_stream('libx264', rate=rate, options=options)
        context = stream.codec_context
        sideways = first.rotation % 180 != 0
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


# -- names -----------------------------------------------------------------------------


class _Job(NamedTuple):
    """A file to encode: its name, where it lies, where it goes."""

    name: str
    source: Path
    target: Path
    settings: Settings


class _Renamed(NamedTuple):
    """A list with the new names: its path, its text, and the old names."""

    path: Path
    text: str
    names: list[str]

    @classmethod
    def of(cls, path: Path, source: Path, target: Path) -> _Renamed:
        """Read a list.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if it names a file outside ``source``, or would be overwritten.
        """
        if not path.is_file():
            raise FileNotFoundError(f"list '{path}' is missing")
        new = target / path.name
        if new.exists() and new.samefile(path):
            raise ValueError(f"list '{path}' lies where its new version goes")
        lines, names = [], []
        for line in path.read_text(encoding='utf-8').splitlines():
            if not line.strip():
                continue
            file, *labels = line.split()
            suffix = os.path.splitext(file)[1].lower()
            if labels:
                fits = all(label.lstrip('-').isdecimal() for label in labels)
            else:
                fits = suffix in ('', *SUFFIXES)
            if not fits:
                raise ValueError(
                    f"'{line}' of list '{path}' is not 'file label', with a blank "
                    'between them and none in the name'
                )
            # absolute names and links of folders, too
            name = os.path.relpath(source / file, source)
            if Path(name).parts[0] == os.pardir:
                raise ValueError(f"'{file}' of '{path}' is not in '{source}'")
            names.append(name)
            # no extension means mp4, and may stay
            name = _as_mp4(name) if os.path.splitext(name)[1] else name
            lines.append(' '.join([name, *labels]) + '\n')
        return cls(new, ''.join(lines), names)


def _videos(source: Path) -> Iterator[str]:
    """The names of the videos below a folder."""
    for folder, folders, files in os.walk(source, followlinks=True):
        folders.sort()
        for file in sorted(files):
            video = os.path.splitext(file)[1].lower() in SUFFIXES
            if video and not file.startswith('.'):
                yield os.path.relpath(os.path.join(folder, file), source)


def _jobs(
    source: Path, target: Path, names: Iterable[str], settings: Settings
) -> list[_Job]:
    """The files to encode.

    Raises:
        ValueError: if two files would become one.
    """
    jobs: dict[Path, _Job] = {}
    for name in names:
        file = name if os.path.splitext(name)[1] else f'{name}.mp4'
        job = _Job(file, source / file, target / _as_mp4(file), settings)
        other = jobs.setdefault(job.target, job)
        if other.name != job.name:
            raise ValueError(f"'{other.name}' and '{job.name}' would be one file")
    return list(jobs.values())


def _as_mp4(name: str) -> str:
    return os.path.splitext(name)[0] + '.mp4'


# -- outcomes --------------------------------------------------------------------------

_Outcome = Union[bool, str]  # whether encoded now, or why it cannot be read


def _outcome(job: _Job) -> _Outcome:
    try:
        return prepare_video(job.source, job.target, job.settings)
    except UnreadableClipError as error:
        return ' '.join(str(error).split())


def _told(
    outcomes: Iterable[tuple[_Job, _Outcome]], total: int
) -> Iterator[tuple[_Job, _Outcome]]:
    """Pass the outcomes on, with a progress bar."""
    console = Console(stderr=True)
    yield from track(outcomes, 'Videos', total=total, console=console)
