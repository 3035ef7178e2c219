"""What the clips of a data set depend on, as plain values that can be compared."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from inspect import isroutine
from typing import Any, Optional

import numpy as np

from mmvkd.datasets.annotations import clip_path
from mmvkd.datasets.seeded import SeededDataset

# packages that decode, by a word found in names or settings of transforms
DECODERS = {
    'decord': 'decord',
    'kept': 'decord',
    'pyav': 'av',
    'torchcodec': 'torchcodec',
}
CLIP_PACKAGES = (
    'mmaction2',
    'mmcv',
    'mmcv-lite',
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)


def data_fingerprint(dataset: SeededDataset) -> dict[str, Any]:
    """What determines a training set: list, pipeline with all settings, and versions.

    Data sets with equal fingerprints give the same clip for the same key. The sizes of
    up to 100 files stand for all files.

    Args:
        dataset: As training loads it, before its first sample.
    """
    pipeline = [_description(step) for step in dataset.dataset.pipeline.transforms]
    text = ' '.join(pipeline).lower()
    packages = [name for word, name in DECODERS.items() if word in text]
    return dict(
        list=dataset.fingerprint[:16],
        bytes=sum(map(size_of, some_paths(dataset))),
        pipeline=pipeline,
        versions=installed(*packages, *CLIP_PACKAGES),
    )


def some_paths(dataset: Any, most: int = 100) -> list[str]:
    """Files or folders of up to ``most`` clips, evenly spread over the list."""
    indices = np.unique(np.linspace(0, len(dataset) - 1, most).astype(int))
    paths = [clip_path(dataset.get_data_info(int(index))) for index in indices]
    return [path for path in paths if path]


def located(path: str) -> Optional[str]:
    """The file or folder that a clip's name stands for, None if there is none."""
    # MMAction2's decoders treat a name without extension as an mp4
    return next(filter(os.path.exists, (path, f'{path}.mp4')), None)


def size_of(path: str) -> int:
    """Bytes of a clip's file, or of the files in its folder; 0 if there is none."""
    found = located(path)
    if found and os.path.isdir(found):
        return sum(entry.stat().st_size for entry in os.scandir(found))
    return os.path.getsize(found) if found else 0


def _description(transform: Any) -> str:
    """Type and settings of a transform, default settings included."""
    settings = {
        key: value if _plain(value) else _inside(value)
        for key, value in sorted(vars(transform).items())
        if _plain(value) or _inside(value)
    }
    return f'{type(transform).__name__}({settings})'


def _inside(value: Any) -> Any:
    """The transforms that one such as RandomApply holds; nothing for other values."""
    if isinstance(value, (list, tuple)):
        return [inside for inside in map(_inside, value) if inside]
    described = callable(value) and hasattr(value, '__dict__') and not isroutine(value)
    return _description(value) if described else None


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(map(_plain, value.values()))
    return isinstance(
        value, (str, int, float, bool, type(None), np.generic, np.ndarray)
    )


def installed(*packages: str) -> dict[str, str]:
    """The versions of those packages that are there."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
