"""Teacher outputs on disk: entries of equal size, read through a memory map.

A store is a folder:

* ``store.json``: the layout of an entry, and the fingerprint of what made it;
* ``entries.bin``: the entry of view v of clip n is number v · clips + n;
* ``shards.bin``: one byte for each shard, once its entries are on disk: 1, or 2 if
  some clips could not be read;
* ``classifier.npy``: the rows of the teacher's classifier, if it has one.

An entry can be read once its shard is done, and carries a checksum; an entry of zeros
stands for a clip that could not be read.
"""

from __future__ import annotations

import math
import mmap
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

from mmvkd.differences import differences
from mmvkd.files import read_json, replacing, write_json
from mmvkd.models.outputs import Outputs

_FORMAT = 1  # increase when older stores can no longer be read
_SHARD = 512  # entries
_WHOLE, _LACKING = 1, 2  # shards with all entries, or without those of some clips
_CLASSIFIER = 'classifier.npy'


class StoreError(RuntimeError):
    """A store that is absent, unfinished, damaged or not the right one."""


@dataclass(frozen=True)
class Layout:
    """What a store holds for each cached view of a clip.

    Args:
        clips: N, the clips of the annotation list.
        views: K, the seeded views per clip.
        num_classes: M.
        multi_label: Whether the teacher's labels do not exclude each other.
        topk: Keep this many of the largest logits, and one level for all others; None
            keeps all.
        temperature: Temperature at which that level has the others' probability.
        features: Shapes (C, T, H, W) by tap name, as kept.
        layouts: Layouts by tap name in which the teacher gave them.
    """

    clips: int
    views: int
    num_classes: int
    multi_label: bool = False
    topk: Optional[int] = None
    temperature: float = 1.0
    features: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    layouts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.topk is not None and not 0 < self.topk < self.num_classes:
            raise ValueError(
                f'topk={self.topk}, expected 1 to {self.num_classes - 1} of the '
                f'{self.num_classes} classes; None keeps all'
            )

    @property
    def entries(self) -> int:
        """N · K."""
        return self.clips * self.views

    @property
    def shards(self) -> int:
        """Number of parts in which entries are written and become readable."""
        return math.ceil(self.entries / _SHARD)

    def shard(self, number: int) -> range:
        """The entries of a shard."""
        return range(number * _SHARD, min((number + 1) * _SHARD, self.entries))

    @cached_property
    def dtype(self) -> np.dtype:
        """The type of an entry: half precision, plus a checksum of 4 bytes."""
        if self.topk is None:
            fields: list[tuple] = [('logits', '<f2', (self.num_classes,))]
        else:
            index = '<u2' if self.num_classes <= 2**16 else '<u4'
            fields = [
                ('logits', '<f2', (self.topk,)),
                ('classes', index, (self.topk,)),
                ('rest', '<f4'),
            ]
        fields += [(f'tap {tap}', '<f2', shape) for tap, shape in self.features.items()]
        return np.dtype([*fields, ('checksum', '<u4')])

    def encode(self, outputs: Outputs) -> np.ndarray:
        """Entries (N,) of a batch of outputs, whose features have the kept shapes."""
        logits = outputs.logits.float().cpu()
        made = np.zeros(len(logits), self.dtype)
        if self.topk is not None:
            logits, classes, rest = split_topk(logits, self.topk, self.temperature)
            made['classes'], made['rest'] = classes.numpy(), rest.numpy()
        made['logits'] = _half(logits)
        for tap in self.features:
            made[f'tap {tap}'] = _half(outputs.features[tap].float().cpu())
        made['checksum'] = [_checksum(entry) for entry in made]
        return made

    def decode(self, entries: np.ndarray) -> Outputs:
        """The outputs (float32, on the host) of entries (N,)."""
        logits = _float(entries['logits'])
        if self.topk is not None:
            classes = torch.from_numpy(entries['classes'].astype(np.int64))
            rest = torch.from_numpy(entries['rest'].copy())
            logits = join_topk(logits, classes, rest, self.num_classes)
        features = {tap: _float(entries[f'tap {tap}']) for tap in self.features}
        return Outputs(logits, features)


def _half(x: Tensor) -> np.ndarray:
    """In half precision, with larger numbers clamped to its largest."""
    most = torch.finfo(torch.half).max
    return x.clamp(-most, most).half().numpy()


def split_topk(
    logits: Tensor, k: int, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The k largest logits, and one level for the probability of all others.

    The level :math:`r` replaces each of the other M − k logits, such that
    :math:`(M-k)\,e^{r/\tau} = \sum_{others} e^{z/\tau}`: the probabilities of the k
    classes at temperature :math:`\tau` are those of the full distribution.

    Args:
        logits: (N, M).
        k: Less than M.
        temperature: :math:`\tau`.

    Returns:
        Values (N, k), classes (N, k) and levels (N,).
    """
    values, classes = logits.topk(k)
    others = logits.scatter(1, classes, -math.inf)
    level = (others / temperature).logsumexp(1) - math.log(logits.shape[1] - k)
    return values, classes, temperature * level


def join_topk(
    values: Tensor, classes: Tensor, rest: Tensor, num_classes: int
) -> Tensor:
    """The logits (N, M) that :func:`split_topk` described."""
    full = rest[:, None].expand(-1, num_classes).contiguous()
    return full.scatter_(1, classes, values)


class Store:
    """A finished store, open for reading.

    Args:
        folder: Folder of the store.

    Raises:
        StoreError: if there is none, or it is unfinished or truncated.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.layout, self.fingerprint = read_header(self.folder)
        done = _marks(self.folder, self.layout) > 0
        if not done.all():
            raise StoreError(
                f"store '{folder}' has {int(done.sum())} of {len(done)} shards; the "
                'command that writes it goes on with the others'
            )
        data = self.folder / 'entries.bin'
        if data.stat().st_size != self.layout.entries * self.layout.dtype.itemsize:
            raise StoreError(f"store '{folder}' is cut; delete it and write it again")
        with data.open('rb') as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, 'MADV_RANDOM'):
            # or a cold disk reads far around each entry
            self._map.madvise(mmap.MADV_RANDOM)
        self._entries = np.frombuffer(self._map, self.layout.dtype)

    @cached_property
    def classifier(self) -> Optional[Tensor]:
        """The rows (M, D) of the teacher's last linear layer, None if it has none."""
        file = self.folder / _CLASSIFIER
        return torch.from_numpy(np.load(file)) if file.is_file() else None

    def read(self, clips: Sequence[int], views: Sequence[int]) -> Outputs:
        """Outputs (N, …) of view ``views[i]`` of clip ``clips[i]``, on the host.

        Raises:
            StoreError: if an entry does not match its checksum.
        """
        rows = np.asarray(views) * self.layout.clips + np.asarray(clips)
        entries = self._entries[rows]
        for row, entry in zip(rows, entries):
            if _checksum(entry) != entry['checksum']:
                why = (
                    f'entry {row} is damaged; delete it and write it again'
                    if entry['checksum']
                    else f'clip {row % self.layout.clips} could not be read; the '
                    'command that wrote it tries again'
                )
                raise StoreError(f"store '{self.folder}': {why}")
        if hasattr(mmap, 'MADV_DONTNEED'):
            # or the pages read would count as this process's memory forever
            self._map.madvise(mmap.MADV_DONTNEED)
        return self.layout.decode(entries)


class StoreWriter:
    """Writes a store shard by shard; several processes may write different shards.

    Continues a store of the same layout and fingerprint, if there is one.

    Args:
        folder: Folder of the store.
        layout: Layout of its entries.
        fingerprint: What made it, as plain values.
        classifier: The rows (M, D) of the teacher's last linear layer, if it has one.

    Raises:
        StoreError: if the folder holds another store.
    """

    def __init__(
        self,
        folder: str,
        layout: Layout,
        fingerprint: Mapping[str, Any],
        classifier: Optional[Tensor] = None,
    ) -> None:
        self.folder, self.layout = Path(folder), layout
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_store(folder):
            there, made_of = read_header(self.folder)
            told = '; '.join(differences(made_of, fingerprint))
            if not there.layouts:  # of a version that did not write them
                there = replace(there, layouts=layout.layouts)
            # with features in another order, they would be taken for each other
            if told or there != layout or there.dtype != layout.dtype:
                raise StoreError(
                    f"'{folder}' holds another store ({told or 'of another layout'}); "
                    'name another folder or delete it'
                )
        if classifier is not None:
            with (
                replacing(self.folder / _CLASSIFIER) as path,
                path.open('wb') as f,
            ):
                # an open file, because NumPy would add its extension to a bare name
                np.save(f, classifier.float().cpu().numpy())
        self._entries = _sized(
            self.folder / 'entries.bin', layout.entries * layout.dtype.itemsize
        )
        self._shards = _sized(self.folder / 'shards.bin', layout.shards)
        write_json(
            self.folder / 'store.json',
            dict(format=_FORMAT, layout=asdict(layout), fingerprint=dict(fingerprint)),
        )

    def open_shards(self) -> list[int]:
        """The shards that are not written yet, or lack an entry."""
        return np.flatnonzero(_marks(self.folder, self.layout) != _WHOLE).tolist()

    def write(self, shard: int, entries: np.ndarray) -> None:
        """Write all entries of a shard, which can be read from then on.

        Args:
            shard: Its number.
            entries: As :meth:`Layout.encode` gives them.
        """
        rows = self.layout.shard(shard)
        if len(entries) != len(rows):
            raise ValueError(
                f'shard {shard} has {len(rows)} entries, got {len(entries)}'
            )
        with open(self._entries, 'r+b') as file:
            file.seek(rows.start * self.layout.dtype.itemsize)
            file.write(entries.tobytes())
            file.flush()
            os.fsync(file.fileno())
        with open(self._shards, 'r+b') as file:
            file.seek(shard)
            whole = entries['checksum'].all()
            file.write(bytes([_WHOLE if whole else _LACKING]))


def is_store(folder: str) -> bool:
    """Whether a store is there, finished or not."""
    return Path(folder, 'store.json').is_file()


def read_header(folder: Path) -> tuple[Layout, dict[str, Any]]:
    """Layout and fingerprint of a store, which may be unfinished.

    Raises:
        StoreError: if there is none, or one of another format.
    """
    header = read_json(folder / 'store.json')
    if header is None:
        raise StoreError(f"there is no store '{folder}'")
    if header.get('format') != _FORMAT:
        raise StoreError(
            f"store '{folder}' has format {header.get('format')}, this version reads "
            f'{_FORMAT}; delete it and write it again'
        )
    layout = header['layout']
    layout['features'] = {k: tuple(v) for k, v in layout['features'].items()}
    return Layout(**layout), header['fingerprint']


def _marks(folder: Path, layout: Layout) -> np.ndarray:
    """The state of each shard; 0 if it is not written."""
    marks = np.fromfile(folder / 'shards.bin', np.uint8, layout.shards)
    # a truncated file has fewer marks
    return np.pad(marks, (0, layout.shards - len(marks)))


def _sized(path: Path, size: int) -> Path:
    """Make ``path`` a file of at least ``size`` bytes, keeping its contents."""
    with open(path, 'ab') as file:
        if file.tell() < size:
            file.truncate(size)
    return path


def _checksum(entry: np.void) -> int:
    return zlib.crc32(entry.tobytes()[:-4])


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
