"""Writing: Motions as mp4 files and lists for MMAction2, resumed if interrupted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from mmvkd.datasets.motions.classes import CLASSES, SPLITS, clip_label, split_index
from mmvkd.datasets.motions.difficulty import Difficulty
from mmvkd.datasets.motions.rendering import check_shape, render_clip
from mmvkd.datasets.widths import UNREADABLE_WIDTHS
from mmvkd.datasets.workers import in_processes, with_progress
from mmvkd.differences import differences
from mmvkd.files import write_text

DEFAULT_COUNTS: Mapping[str, int] = {'train': 840, 'val': 280, 'test': 280}

_FORMAT = 1  # raise when a change of this package changes rendered frames


def write_motions(
    root: str | os.PathLike[str],
    counts: Mapping[str, int] | None = None,
    size: int = 112,
    num_frames: int = 32,
    fps: int = 16,
    seed: int = 0,
    num_workers: int = 1,
    difficulty: Difficulty | None = None,
) -> Path:
    """Write Motions as mp4 files in the directory layout of MMAction2.

    ``root`` gets ``videos_{split}/*.mp4``, ``motions_{split}_list.txt`` (lines
    ``file label``), ``classes.txt`` and ``meta.json``. The lists are written last, so
    a split that has its list is complete. Complete files are reused.

    Args:
        root: Directory of the data set; new, empty, or written with equal settings.
        counts: Clips per split; None takes ``DEFAULT_COUNTS``.
        size: Side of the square frames in pixels, even (for the codec).
        num_frames: Frames per clip.
        fps: Frame rate written to the files, in frames per second.
        seed: Seed of the data set.
        num_workers: Processes that render and encode.
        difficulty: Difficulty knobs; None takes the defaults.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: if an argument is out of range.
        FileExistsError: if ``root`` holds anything but Motions of these settings.
        OSError: if a video cannot be written, or a process is killed.
    """
    root = Path(root)
    counts = DEFAULT_COUNTS if counts is None else counts
    counts = {**dict.fromkeys(SPLITS, 0), **counts}
    difficulty = difficulty or Difficulty()
    settings = _Settings(counts, size, num_frames, fps, seed, difficulty)
    _claim(root, settings)

    jobs = []
    for split, count in settings.counts.items():
        if count:
            (root / f'videos_{split}').mkdir(exist_ok=True)
        for index in range(count):
            path = root / f'videos_{split}' / _file_name(index)
            jobs.append(_Job(path, split, index, settings))
    written = in_processes(_write_clip, jobs, num_workers, _start_worker)
    for _ in with_progress(written, len(jobs)):
        pass

    write_text(root / 'classes.txt', '\n'.join(CLASSES) + '\n')
    for split, count in settings.counts.items():
        lines = (
            f'{_file_name(index)} {clip_label(split, index, seed)}\n'
            for index in range(count)
        )
        if count:
            write_text(root / f'motions_{split}_list.txt', ''.join(lines))
    return root


@dataclass(frozen=True)
class _Settings:
    """What the files depend on."""

    counts: dict[str, int]
    size: int
    num_frames: int
    fps: int
    seed: int
    difficulty: Difficulty

    def __post_init__(self) -> None:
        check_shape(self.size, self.num_frames)
        for split in self.counts:
            split_index(split)
        readable = (
            'one that decord can read, such as the default 112, which '
            f'MMVKD_SIZE={self.size} scales'
        )
        rules = (
            ('size', self.size % 2 == 0, 'an even number of pixels'),
            ('size', self.size not in UNREADABLE_WIDTHS, readable),
            ('seed', self.seed >= 0, 'an integer >= 0'),
            ('fps', self.fps >= 1, 'an integer >= 1'),
            ('counts', min(self.counts.values()) >= 0, 'integers >= 0'),
        )
        for name, ok, expected in rules:
            if not ok:
                raise ValueError(
                    f'Motions: {name}={getattr(self, name)}, expected {expected}'
                )


@dataclass(frozen=True)
class _Job:
    """One file to write."""

    path: Path
    split: str
    index: int
    settings: _Settings


def _file_name(index: int) -> str:
    return f'{index:06d}.mp4'


def _claim(root: Path, settings: _Settings) -> None:
    """Write ``meta.json``, or refuse a directory that holds something else."""
    meta = dict(format=_FORMAT, classes=CLASSES, **asdict(settings))
    meta = json.loads(json.dumps(meta))  # as it reads back: tuples become lists
    file = root / 'meta.json'
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding='utf-8'))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise FileExistsError(
                f'{file} is not readable as JSON: delete {root} or give another one'
            )
        told = '; '.join(differences(found, meta))
        if told:
            raise FileExistsError(
                f'{root} holds Motions with other settings ({told}): ask for those '
                'settings, delete it or give another directory'
            )
    elif root.is_dir() and any(root.iterdir()):
        raise FileExistsError(
            f'{root} is not empty and has no meta.json: give a new or empty directory'
        )
    else:
        root.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(meta, indent=2) + '\n')


def _holds(path: Path, num_frames: int) -> bool:
    """Say whether ``path`` opens as a video of this many frames."""
    if not path.is_file() or not path.stat().st_size:
        return False
    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == num_frames
    finally:
        capture.release()


def _write_clip(job: _Job) -> None:
    path, settings = job.path, job.settings
    if _holds(path, settings.num_frames):
        return
    clip = render_clip(
        clip_label(job.split, job.index, settings.seed),
        job.split,
        job.index,
        settings.seed,
        size=settings.size,
        num_frames=settings.num_frames,
        difficulty=settings.difficulty,
    )
    # The same name on every try: what a killed run leaves is overwritten.
    partial = path.with_name(f'.part-{path.name}')
    codec = cv2.VideoWriter.fourcc(*'mp4v')
    shape = (settings.size, settings.size)
    writer = cv2.VideoWriter(str(partial), codec, settings.fps, shape)
    try:
        for frame in clip:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    # VideoWriter reports neither a missing codec nor a full disk.
    if not _holds(partial, settings.num_frames):
        raise OSError(
            f'{path} could not be written: OpenCV {cv2.__version__} gave no readable '
            'mp4v video; check the disk space and the OpenCV build'
        )
    os.replace(partial, path)


def _start_worker() -> None:
    cv2.setNumThreads(0)
