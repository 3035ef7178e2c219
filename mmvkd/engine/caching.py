"""Runs a config's teachers once for all cached views, and stores their outputs."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from mmvkd.datasets import SeededDataset
from mmvkd.datasets.fingerprint import data_fingerprint
from mmvkd.models import VideoDistiller
from mmvkd.models.outputs import Outputs
from mmvkd.models.teachers import CachedTeacher
from mmvkd.models.teachers.cached import is_cached
from mmvkd.models.teachers.store import StoreWriter
from mmvkd.registry import DATASETS, MODELS
from mmvkd.seeding import SampleKey, cached_view

_TELL_EVERY = 10.0  # seconds


def write_stores(config: Config, say: Callable[[str], None] = print) -> None:
    """Write the stores that the cached teachers of ``config`` name.

    Of several processes started by ``torchrun``, each writes its own shards. Finished
    shards are kept, so a killed run resumes where it stopped.

    Args:
        config: That of a distiller with cached teachers.
        say: Called with lines of progress.

    Raises:
        ValueError: if there is no cached teacher, or no views to cache.
        StoreError: if a folder holds a different store.
    """
    views = (config.train_dataloader.get('sampler') or {}).get('views')
    if views is None:
        raise ValueError(
            'train_dataloader.sampler has no `views`: how many of each clip to cache, '
            "as in dict(type='mmvkd.SeededSampler', shuffle=True, views=4)"
        )
    init_default_scope(config.get('default_scope') or 'mmaction')
    cached, distiller = _online(config)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    data = data_fingerprint(dataset)
    writers = _writers(cached, distiller, dataset, views, data)
    plan = _plan(writers, config.train_dataloader.batch_size)
    loader = DataLoader(
        dataset,
        batch_sampler=[part.keys for part in plan],
        num_workers=config.train_dataloader.get('num_workers', 0),
        collate_fn=pseudo_collate,
    )
    replaced = 0
    for shard in _shards(plan, loader, distiller, cached, writers, say):
        for name, entries in shard.entries.items():
            writers[name].write(shard.number, entries)
        replaced += shard.unread
    if replaced:
        say(
            f'{replaced} views of clips that cannot be read have no entry; the same '
            'command tries them again'
        )
    for name, teacher in cached.items():
        here = len({part.shard for part in plan if name in part.stores})
        total = writers[name].layout.shards
        say(f"'{teacher.folder}': {here} of {total} shards written")


class _Part(NamedTuple):
    """A batch of one shard.

    Args:
        shard: Its number.
        keys: The samples, in the order of their entries.
        last: Whether it completes the shard.
        stores: Names of the stores that lack the shard.
    """

    shard: int
    keys: list[SampleKey]
    last: bool
    stores: list[str]


class _Shard(NamedTuple):
    """A complete shard.

    Args:
        number: Its number.
        entries: All its entries, by store.
        unread: How many of them are empty, as their clip cannot be read.
    """

    number: int
    entries: dict[str, np.ndarray]
    unread: int


class _Progress:
    """Tells now and then how far it is.

    Args:
        total: Number of batches.
        say: Called with the lines.
    """

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.total, self.done, self.say = total, 0, say
        self.started = self.told = time.monotonic()

    def step(self) -> None:
        """A batch more is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.told > _TELL_EVERY:
            self.told = now
            left = (now - self.started) / self.done * (self.total - self.done)
            self.say(
                f'{self.done} of {self.total} batches, about {left / 60:.0f} min to go'
            )


def _online(config: Config) -> tuple[dict[str, CachedTeacher], VideoDistiller]:
    """The cached teachers by name, and the distiller that runs them."""
    model = config.model.to_dict()
    cached = {}
    for name, teacher in (model.get('teachers') or {}).items():
        if is_cached(teacher):
            cached[name] = MODELS.build(teacher)
            model['teachers'][name] = cached[name].online_config()
    if not cached:
        raise ValueError(
            "the config has no teacher of type='mmvkd.CachedTeacher' in model.teachers"
        )
    device = torch.device(get_device())
    if device.type == 'cuda':
        device = torch.device('cuda', int(os.environ.get('LOCAL_RANK', 0)))
    distiller = MODELS.build(model).to(device)
    distiller.refuse_blending(list(cached))
    for name in cached:
        distiller.frozen[name].load()
        distiller.frozen[name].to(device)
    return cached, distiller


def _writers(
    cached: Mapping[str, CachedTeacher],
    distiller: VideoDistiller,
    dataset: SeededDataset,
    views: int,
    data: Mapping[str, Any],
) -> dict[str, StoreWriter]:
    """A writer for each teacher; its entries have the shapes of the first outputs."""
    first = pseudo_collate([dataset[cached_view(0, 0)]])
    writers = {}
    for name, outputs in _outputs(distiller, list(cached), first):
        online: Any = distiller.frozen[name]
        writers[name] = cached[name].writer(online, outputs, len(dataset), views, data)
    return writers


def _plan(writers: Mapping[str, StoreWriter], size: int) -> list[_Part]:
    """The batches of this process, shard by shard.

    Args:
        writers: By store; all have the same clips and views.
        size: Most entries of a batch, which never crosses shards.
    """
    rank, world = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    lacking: dict[int, list[str]] = {}
    for name, writer in writers.items():
        for shard in writer.open_shards():
            if shard % world == rank:
                lacking.setdefault(shard, []).append(name)
    layout = next(iter(writers.values())).layout
    plan = []
    for shard in sorted(lacking):
        entries = layout.shard(shard)
        for rows in _chunks(entries, size):
            keys = [cached_view(r % layout.clips, r // layout.clips) for r in rows]
            last = rows.stop == entries.stop
            plan.append(_Part(shard, keys, last, lacking[shard]))
    return plan


def _shards(
    plan: Sequence[_Part],
    loader: DataLoader,
    distiller: VideoDistiller,
    cached: Mapping[str, CachedTeacher],
    writers: Mapping[str, StoreWriter],
    say: Callable[[str], None],
) -> Iterator[_Shard]:
    """Each shard as soon as it is complete.

    Args:
        plan: The batches.
        loader: Loads them.
        distiller: Runs the teachers.
        cached: They say what is kept.
        writers: They say how it is encoded.
        say: Called with lines of progress.
    """
    progress = _Progress(len(plan), say)
    pieces: dict[str, list[np.ndarray]] = defaultdict(list)
    unread = 0
    dataset: Any = loader.dataset
    for part, batch in zip(plan, loader):
        empty = _unread(dataset, part.keys, batch)
        unread += int(empty.sum())
        for name, outputs in _outputs(distiller, part.stores, batch):
            made = writers[name].layout.encode(cached[name].kept(outputs))
            made[empty] = np.zeros((), made.dtype)
            pieces[name].append(made)
        if part.last:
            whole = {name: np.concatenate(made) for name, made in pieces.items()}
            yield _Shard(part.shard, whole, unread)
            pieces.clear()
            unread = 0
        progress.step()


def _outputs(
    distiller: VideoDistiller, names: list[str], batch: dict[str, Any]
) -> Iterator[tuple[str, Outputs]]:
    """The teachers' outputs for a loaded batch, in the view that training takes."""
    data = distiller.data_preprocessor(batch, training=True)
    seen = distiller.views_of(data['inputs'])
    for name in names:
        yield name, distiller.frozen[name](seen, data['data_samples']).wait()


def _unread(
    dataset: SeededDataset, keys: Sequence[SampleKey], batch: dict[str, Any]
) -> np.ndarray:
    """Which clips of a batch cannot be read, so that the dataset gave others (bool).

    Each is read once more, into the batch: a disk of a network may have failed once.
    """
    unread = np.zeros(len(keys), bool)
    for place, key in enumerate(keys):
        if batch['data_samples'][place].metainfo['sample_id'] != key.sample_id:
            sample = dataset[key]
            for name, value in sample.items():
                batch[name][place] = value
            info = sample['data_samples'].metainfo
            unread[place] = info['sample_id'] != key.sample_id
    return unread


def _chunks(rows: range, size: int) -> Iterator[range]:
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(start + size, rows.stop))
