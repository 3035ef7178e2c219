"""Folders of videos re-encoded for training, with the lists that name them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Optional, Union

from mmvkd.datasets.reencoding import Settings, prepare_video
from mmvkd.datasets.transforms.decoders import require
from mmvkd.datasets.workers import in_processes, with_progress
from mmvkd.errors import UnreadableClipError
from mmvkd.files import write_text

SUFFIXES = (
    *('.3gp', '.avi', '.flv', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg'),
    *('.ogv', '.ts', '.webm', '.wmv'),
)
"""What counts as a video in a folder."""

UNREADABLE = 'unreadable.txt'
"""Names the unreadable files, in the folder of the prepared ones."""

_DEFAULT = Settings()


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
    source: str | os.PathLike,
    target: str | os.PathLike,
    lists: Sequence[str | os.PathLike] = (),
    settings: Settings = _DEFAULT,
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
    real = Path(os.path.realpath(target))
    if Path(os.path.realpath(source)) in (real, *real.parents):
        raise ValueError(f"'{target}' lies in '{source}', expected another folder")
    renamed = [_Renamed.of(Path(path), source, target) for path in lists]
    named: dict[Path, str | os.PathLike] = {}
    for path, entry in zip(lists, renamed):
        if entry.path in named:
            raise ValueError(
                f"lists '{named[entry.path]}' and '{path}' would both be written to "
                f"'{entry.path}'; rename one of them"
            )
        named[entry.path] = path
    names = chain.from_iterable(r.names for r in renamed) if lists else _videos(source)
    jobs = _jobs(source, target, names, settings)
    if not jobs:
        raise FileNotFoundError(f"no videos in '{source}'")

    report = Report()
    outcomes = in_processes(_outcome, jobs, workers)
    for job, outcome in with_progress(outcomes, len(jobs)):
        if isinstance(outcome, str):
            report.unreadable[job.name] = outcome
        else:
            (report.written if outcome else report.kept).append(job.name)
    judged = {job.name for job in jobs} if lists else None
    _note(target / UNREADABLE, report.unreadable, judged)
    for entry in renamed:
        write_text(entry.path, entry.text)
    return report


def as_mp4(name: str) -> str:
    """The name of the new video."""
    return os.path.splitext(name)[0] + '.mp4'


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
            ValueError: if it names a file outside ``source``, would be overwritten, or
                is not UTF-8.
        """
        if not path.is_file():
            raise FileNotFoundError(f"list '{path}' is missing")
        new = target / path.name
        if new.exists() and new.samefile(path):
            raise ValueError(f"list '{path}' lies where its new version goes")
        lines, names = [], []
        try:
            text = path.read_text(encoding='utf-8-sig')
        except UnicodeDecodeError as error:
            raise ValueError(f"list '{path}' is not UTF-8: {error}") from None
        for line in text.splitlines():
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
            name = as_mp4(name) if os.path.splitext(name)[1] else name
            lines.append(' '.join([name, *labels]) + '\n')
        return cls(new, ''.join(lines), names)


def _videos(source: Path) -> Iterator[str]:
    """The names of the videos below a folder."""
    for folder, folders, files in os.walk(source, followlinks=True):
        folders[:] = sorted(f for f in folders if not _leads_back(Path(folder, f)))
        for file in sorted(files):
            video = os.path.splitext(file)[1].lower() in SUFFIXES
            if video and not file.startswith('.'):
                yield os.path.relpath(os.path.join(folder, file), source)


def _leads_back(path: Path) -> bool:
    """Whether a folder is, by way of links, one of those that it lies in."""
    return os.path.realpath(path) in map(os.path.realpath, path.parents)


def _note(
    path: Path, unreadable: Mapping[str, str], judged: Optional[Collection[str]]
) -> None:
    """Name the unreadable files; those of other lists stay named.

    Args:
        path: Where they are named.
        unreadable: Why they cannot be read, by name.
        judged: The names that were tried, None for all that there are.
    """
    before = path.read_text(encoding='utf-8') if path.exists() else ''
    noted = [line.partition(': ') for line in before.splitlines()]
    others = {
        name: why for name, _, why in noted if judged is not None and name not in judged
    }
    lines = [f'{n}: {why}\n' for n, why in sorted({**others, **unreadable}.items())]
    if lines:
        write_text(path, ''.join(lines))
    else:
        path.unlink(missing_ok=True)


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
        job = _Job(file, source / file, target / as_mp4(file), settings)
        other = jobs.setdefault(job.target, job)
        if other.name != job.name:
            raise ValueError(f"'{other.name}' and '{job.name}' would be one file")
    return list(jobs.values())


_Outcome = Union[bool, str]  # whether encoded now, or why it cannot be read


def _outcome(job: _Job) -> _Outcome:
    try:
        return prepare_video(job.source, job.target, job.settings)
    except UnreadableClipError as error:
        return ' '.join(str(error).split())
