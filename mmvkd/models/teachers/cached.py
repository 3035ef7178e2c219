"""A teacher that ran once and whose outputs are read from a store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmvkd.differences import differences
from mmvkd.files import file_hash
from mmvkd.models.checkpoints import (
    checkpoint_name,
    find_checkpoint,
    read_weights,
)
from mmvkd.models.kernels import kernels
from mmvkd.models.losses.numerics import check_known, check_positive
from mmvkd.models.outputs import ModelCard, Outputs
from mmvkd.models.recognizers import (
    RecognizerConfig,
    is_multi_label,
    sampled_frames,
    without_pretrained,
)
from mmvkd.models.teachers.recognizer import RecognizerTeacher
from mmvkd.models.teachers.store import (
    Layout,
    Store,
    StoreError,
    StoreWriter,
    is_store,
    read_header,
)
from mmvkd.models.views import Views
from mmvkd.registry import MODELS, short_type

_POOLS = {'space': (3, 4), 'clip': (2, 3, 4)}
_AVERAGED = {'space': 'space', 'clip': 'space and time'}


@MODELS.register_module()
class CachedTeacher:
    """Replays a teacher's outputs for the same frames, crop and flip.

    Takes the settings of :class:`RecognizerTeacher` and a store, which
    ``tools/cache_teacher.py`` writes. A clip has K views, each determined by its number
    as any augmentation is by the epoch; ``mmvkd.SeededSampler(views=K)`` gives them in
    turn. If the store exists, the teacher is never built.

    Args:
        model: See :class:`RecognizerTeacher`.
        checkpoint: Likewise; its weights must be those that wrote the store. The file
            itself may be gone.
        store: Folder of the store.
        topk: Keep the k largest logits and one level for the others; None keeps all.
            A head that standardizes logits then standardizes these, not the full ones.
        temperature: Temperature at which that level has the others' probability; set it
            to that of the head. Has no meaning without ``topk``.
        pool: What tapped features are averaged over: ``space`` keeps (C, T, 1, 1),
            ``clip`` (C, 1, 1, 1).
        view: See :class:`RecognizerTeacher`.
        precision: Likewise.
        recipe: Likewise.
        channels_last: Likewise, when the store is written; so are those that follow.
        compile: Likewise.
        micro_batch: Likewise.
        stream: Likewise.

    Raises:
        ValueError: for an unknown ``pool``, or without a checkpoint.
    """

    def __init__(
        self,
        model: RecognizerConfig,
        checkpoint: str,
        store: str,
        topk: Optional[int] = None,
        temperature: float = 1.0,
        pool: str = 'space',
        view: Optional[Mapping[str, Any]] = None,
        precision: str = 'fp32',
        recipe: str = '',
        channels_last: bool = False,
        compile: bool = False,
        micro_batch: Optional[int] = None,
        stream: bool = False,
    ) -> None:
        check_known('pool', pool, _POOLS)
        check_positive(temperature, 'temperature')
        self.name = 'teacher'
        self._config = model
        self.checkpoint = checkpoint_name(checkpoint)
        self.folder = os.path.expanduser(store)
        self.topk = topk
        self.temperature = temperature
        self.pool = pool
        self._view_settings = view
        self.precision = precision
        self.recipe = recipe
        self._engine = dict(
            channels_last=channels_last,
            compile=compile,
            micro_batch=micro_batch,
            stream=stream,
        )
        self.device = torch.device('cpu')
        self.fits_data = False
        self._store: Optional[Store] = None

    def online_config(self) -> dict[str, Any]:
        """Config of the teacher whose outputs are stored."""
        return dict(
            type='mmvkd.RecognizerTeacher',
            model=self._config,
            checkpoint=self.checkpoint,
            view=self._view_settings,
            precision=self.precision,
            recipe=self.recipe,
            **self._engine,
        )

    def attach(self, name: str, taps: Mapping[str, Optional[str]]) -> ModelCard:
        """Name the teacher and describe its outputs.

        Raises:
            StoreError: if the store lacks a tap, or has it in another layout.
        """
        self.name, self.taps = name, tuple(taps)
        if taps:
            print_log(
                f"teacher '{name}' is cached: heads compare its features averaged over "
                f'{_AVERAGED[self.pool]} (pool={self.pool!r})',
                logger='current',
            )
        if not is_store(self.folder):
            # for testing a student, or writing the store
            card = MODELS.build(self.online_config()).attach(name, taps)
            shapes = {tap: self._pooled(shape) for tap, shape in card.shapes.items()}
            return replace(card, shapes=shapes)
        # even if the store is unfinished, for testing a student
        layout, _ = read_header(Path(self.folder))
        for tap, said in taps.items():
            kept = layout.layouts.get(tap)
            if said and kept and said != kept:
                raise StoreError(
                    f"store '{self.folder}' of teacher '{name}' has tap '{tap}' with "
                    f"layout='{kept}', a head says '{said}'; it is one of them, and "
                    'if the head is right, delete the store and write it again'
                )
            if tap not in layout.features:
                raise StoreError(
                    f"store '{self.folder}' of teacher '{name}' lacks tap '{tap}'; it "
                    f'has {", ".join(layout.features) or "none"}; write it again'
                )
        return ModelCard(
            name, layout.num_classes, layout.multi_label, dict(layout.features)
        )

    def load(self) -> None:
        """Open the store, and check that this teacher wrote it.

        Raises:
            StoreError: if it is absent, unfinished, or another teacher's.
        """
        wrote = self.store.fingerprint['teacher']
        own = self.fingerprint()
        if own['weights'] is None:
            own['weights'] = wrote['weights']
        told = '; '.join(differences(wrote, own))
        if told:
            raise StoreError(
                f"store '{self.folder}' is not of teacher '{self.name}': {told}; "
                'delete it and write it again'
            )

    @property
    def store(self) -> Store:
        """The store, open for reading.

        Raises:
            StoreError: if it is absent or unfinished.
        """
        if self._store is None:
            try:
                self._store = Store(self.folder)
            except StoreError as error:
                raise StoreError(
                    f"teacher '{self.name}': {error}; write it with: "
                    'python tools/cache_teacher.py CONFIG'
                ) from error
        return self._store

    def check_data(self, fingerprint: Mapping[str, Any], views: Optional[int]) -> None:
        """Refuse a store of other clips than those that training shows the student.

        Args:
            fingerprint: Fingerprint of the training set; see
                :func:`mmvkd.datasets.fingerprint.data_fingerprint`.
            views: Number of views that the sampler repeats in turn; None if it never
                repeats one.

        Raises:
            StoreError: if they differ, or views are missing; says how.
        """
        told = '; '.join(differences(self.store.fingerprint['data'], fingerprint))
        if told:
            raise StoreError(
                f"store '{self.folder}' of teacher '{self.name}' is of other clips: "
                f'{told}; delete it and write it again'
            )
        kept = self.store.layout.views
        if views is None or views > kept:
            raise StoreError(
                f"store '{self.folder}' of teacher '{self.name}' has {kept} views of "
                f'each clip; set train_dataloader.sampler to '
                f"dict(type='mmvkd.SeededSampler', shuffle=True, views={kept})"
            )
        self.fits_data = True

    def __deepcopy__(self, memo: dict) -> CachedTeacher:
        """Return itself: a copied or averaged distiller shares its frozen teachers."""
        return self

    @property
    def loaded(self) -> bool:
        """Whether the store is open."""
        return self._store is not None

    def to(self, device: torch.device) -> CachedTeacher:
        """Give outputs on ``device``."""
        if torch.device(device).type != 'meta':
            self.device = torch.device(device)
        return self

    @property
    def classifier(self) -> Optional[Tensor]:
        """The rows (M, D) of the head's last linear layer, None if it has none."""
        rows = self.store.classifier
        return None if rows is None else rows.to(self.device)

    def kernels(self) -> dict[str, Tensor]:
        """The kernels of its convolutions, by module name, read from the checkpoint.

        Raises:
            FileNotFoundError: if the checkpoint is gone.
        """
        state = read_weights(f"teacher '{self.name}'", self.checkpoint, self.recipe)
        found = kernels(state.items())
        return {name: kernel.to(self.device) for name, kernel in found.items()}

    def __call__(self, views: Views, data_samples: Sequence) -> Outputs:
        """Outputs for a batch.

        Args:
            views: Say on which device outputs are wanted.
            data_samples: Samples of :class:`~mmvkd.datasets.SeededDataset`, which tell
                their clip and view.

        Returns:
            Logits (N, M) and features (N, C, T, 1, 1), or (N, C, 1, 1, 1) with
            ``pool='clip'``.

        Raises:
            StoreError: if the store was not compared with the training set.
        """
        if not self.fits_data:
            raise StoreError(
                f"store '{self.folder}' of teacher '{self.name}' was not compared with "
                "the training set; add dict(type='mmvkd.DataCheckHook') to custom_hooks"
            )
        self.to(views.clip.device)
        info = [sample.metainfo for sample in data_samples]
        outputs = self.store.read(
            [i['sample_id'] for i in info], [i['view'] for i in info]
        )
        features = {tap: self._moved(outputs.features[tap]) for tap in self.taps}
        return Outputs(self._moved(outputs.logits), features)

    def _moved(self, value: Tensor) -> Tensor:
        if self.device.type == 'cuda':
            value = value.pin_memory()
        return value.to(self.device, non_blocking=True)

    def fingerprint(self) -> dict[str, Any]:
        """What its outputs depend on, apart from the clips, as plain values.

        ``weights`` is None if the checkpoint does not exist.
        """
        model = without_pretrained(self._config)
        plain = json.dumps(_with_bare_types(model), sort_keys=True, default=str)
        # as read back from the store's file: without tuples
        view = json.loads(json.dumps(dict(self._view_settings or {})))
        if short_type(model['type']) == 'Recognizer3D' and 'num_frames' not in view:
            frames = sampled_frames(self._config)
            view.update({} if frames is None else dict(num_frames=frames))
        return dict(
            model=hashlib.sha256(plain.encode()).hexdigest()[:16],
            weights=_hash_of(self.checkpoint),
            view=view,
            precision=self.precision,
            pool=self.pool,
            topk=self.topk,
            temperature=self.temperature if self.topk else None,
        )

    def writer(
        self,
        online: RecognizerTeacher,
        outputs: Outputs,
        clips: int,
        views: int,
        data: Mapping[str, Any],
    ) -> StoreWriter:
        """Begin the store, or continue it.

        Args:
            online: The teacher that runs; see :meth:`online_config`.
            outputs: Some of its outputs, which tell the shapes of an entry.
            clips: N, the clips of the annotation list.
            views: K, the seeded views per clip.
            data: Fingerprint of the clips; see :meth:`check_data`.

        Raises:
            ValueError: if ``topk`` is not less than the number of classes.
            StoreError: if the folder holds another store.
        """
        kept = self.kept(outputs)
        layout = Layout(
            clips,
            views,
            kept.logits.shape[1],
            is_multi_label(online.model),
            self.topk,
            self.temperature if self.topk else 1.0,
            {tap: tuple(value.shape[1:]) for tap, value in kept.features.items()},
            dict(online.reader.layouts),
        )
        made_of = dict(teacher=self.fingerprint(), data=dict(data))
        return StoreWriter(self.folder, layout, made_of, online.classifier)

    def kept(self, outputs: Outputs) -> Outputs:
        """Outputs as the store keeps them, with features averaged."""
        axes = _POOLS[self.pool]
        return Outputs(
            outputs.logits,
            {
                tap: value.float().mean(axes, keepdim=True)
                for tap, value in outputs.features.items()
            },
        )

    def _pooled(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, T, H, W) after averaging."""
        axes = [axis - 1 for axis in _POOLS[self.pool]]
        return tuple(1 if i in axes else n for i, n in enumerate(shape))


def is_cached(teacher: Mapping[str, Any]) -> bool:
    """Whether a teacher's config is that of a cached one."""
    return short_type(teacher.get('type')) == 'CachedTeacher'


def _with_bare_types(node: Any) -> Any:
    """A config whose types are bare names; it may have them as classes or paths."""
    if isinstance(node, Mapping):
        return {
            key: short_type(value) if key == 'type' else _with_bare_types(value)
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return [_with_bare_types(item) for item in node]
    return node


def _hash_of(checkpoint: str) -> Optional[str]:
    """Hash of a file's bytes, or the address as it is; None if there is no file.

    Raises:
        ValueError: for a random teacher.
    """
    if checkpoint == 'random':
        raise ValueError(
            "a teacher with checkpoint='random' is another one in each run; only one "
            'with a checkpoint can be cached'
        )
    if checkpoint.startswith(('http://', 'https://')):
        return checkpoint
    found = find_checkpoint(checkpoint)
    return file_hash(Path(found)) if found else None
