"""The parts of a config's training step, each to be run alone.

Clips and weights are made up, so that a config can be measured without data and
without checkpoints.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmvkd.evaluation.clips import Clips
from mmvkd.evaluation.setting import BenchmarkSettings, plain
from mmvkd.host_memory import keep_freed_memory
from mmvkd.models.distillers import VideoDistiller
from mmvkd.models.heads import DistillationHead
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.recognizers import (
    build_recognizer,
    is_multi_label,
    student_config,
    without_pretrained,
)
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher
from mmvkd.models.teachers.cached import is_cached
from mmvkd.models.teachers.store import is_store
from mmvkd.models.views import Views
from mmvkd.registry import MODELS, short_type

STUDENT = 'student step'
TEACHERS = 'teacher inference'
SUFFIXES = 'hybrid suffixes'
DISTILLATION = 'distillation step'
CACHED = 'cached step'
HEAD = 'head '
LOADED = ' with loading'

# as of trained teachers; random weights would rate all classes nearly the same
_LOGIT_SPREAD = 3.0


@dataclass(frozen=True)
class Variant:
    """Something to time.

    Args:
        run: The part that is timed; takes what ``prepare`` gave.
        prepare: The part that is not timed.
    """

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None


class Bench:
    """The variants of a config's training step, each built when it is asked for.

    Args:
        config: That of a distiller, or of a recognizer alone.
        setting: How it is measured.
        folder: Where made-up teacher weights and stores of their outputs are, or will
            be.
    """

    def __init__(
        self, config: Mapping[str, Any], setting: BenchmarkSettings, folder: Path
    ) -> None:
        keep_freed_memory()  # as the tools that train do
        init_default_scope(config.get('default_scope') or 'mmaction')
        self.config, self.setting, self.folder = config, setting, folder
        self.device = torch.device(setting.device)
        self.student = without_pretrained(student_config(config))
        self.model = plain(config['model'])
        self.distills = 'student' in self.model and bool(self.model.get('teachers'))
        if self.model.get('mutual'):
            raise ValueError(
                'only frozen teachers can be timed, and those of the config learn '
                '(mutual=True); set model.mutual=False'
            )
        # as it stands in the config, with other weights
        self.model['student'] = self.student
        self._settings = dict(self.model.get('teachers') or {})
        self.teacher_names = tuple(self._settings)
        self._steps: dict[str, Callable[[dict], Any]] = {}

    @cached_property
    def clips(self) -> Clips:
        """What the steps are taken with."""
        # not before it is needed: memory is counted from a bench without any model
        student = build_recognizer('student', self.student)
        classes = int(student.cls_head.num_classes)
        return Clips(self.config, self.setting, classes, is_multi_label(student))

    # What there is to time

    @property
    def names(self) -> list[str]:
        """The variants that need no data set."""
        if not self.distills:
            return [STUDENT]
        cached = [CACHED] if self.caching_problem is None else []
        return [*self.online_names, *cached]

    @property
    def online_names(self) -> list[str]:
        """The variants of a distiller whose teachers run, rather than being cached."""
        teachers = _online(self.online).values()
        suffixes = [SUFFIXES] if any(t.offers_hybrid for t in teachers) else []
        heads = [f'{HEAD}{name}' for name in self.model.get('heads') or {}]
        return [STUDENT, TEACHERS, *suffixes, DISTILLATION, *heads]

    @cached_property
    def caching_problem(self) -> Optional[str]:
        """Why the distiller cannot have cached teachers, None if it can."""
        try:
            self._built(self._all_cached())
        except ValueError as error:
            return str(error)
        return None

    @property
    def loaded_names(self) -> list[str]:
        """The variants that load their clips, if the data set is available."""
        sampler = (self.config.get('train_dataloader') or {}).get('sampler') or {}
        keyed = short_type(sampler.get('type')) == 'SeededSampler'
        own = [STUDENT, CACHED] if keyed and CACHED in self.names else [STUDENT]
        return [f'{name}{LOADED}' for name in own]

    def variant(self, name: str) -> Variant:
        """The variant called ``name``.

        Raises:
            KeyError: if there is none.
        """
        if name.endswith(LOADED):
            name = name[: -len(LOADED)]
            loader = self.clips.loaded(cached=name == CACHED)
            step = self._step(name)
            return Variant(lambda _: step(next(loader)))
        if name in (STUDENT, DISTILLATION, CACHED):
            oversample = 1 if name == STUDENT else self.clips.oversample
            data = self.clips.made_up(oversample)
            return Variant(self._step(name), lambda: _copied(data))
        if name == TEACHERS:
            return self._teachers()
        if name == SUFFIXES:
            return self._suffixes()
        return self._head(name[len(HEAD) :])

    def _step(self, name: str) -> Callable[[dict], Any]:
        """A training step, optimizer included, that leaves the weights where they are.

        The learning rate is zero and the arithmetic the same: no step differs from the
        first one.
        """
        if name not in self._steps:
            makers: dict[str, Callable[[], nn.Module]] = {
                STUDENT: self._plain_student,
                DISTILLATION: lambda: self.online,
                CACHED: self._cached_distiller,
            }
            model = self._wrapped(makers[name]())
            optim = self._optimizer(model)
            self._steps[name] = lambda data: model.train_step(data, optim)
        return self._steps[name]

    def _optimizer(self, model: nn.Module) -> OptimWrapper:
        settings = plain(self.config.get('optim_wrapper') or {})
        settings.setdefault('optimizer', dict(type='SGD', lr=0.01, momentum=0.9))
        optim = build_optim_wrapper(model, settings)
        for group in optim.optimizer.param_groups:
            group['lr'] = 0.0
        return optim

    def _wrapped(self, model: nn.Module) -> Any:
        """The model in the wrapper that MMEngine uses for several processes."""
        model.train()
        if not torch.distributed.is_initialized():
            return model
        ids = [self.device.index or 0] if self.device.type == 'cuda' else None
        return MMDistributedDataParallel(model, device_ids=ids)

    def _teachers(self) -> Variant:
        """One inference of each teacher, given its input."""
        teachers = _online(self.online).values()
        views, samples, _ = self._seen()
        inputs = {teacher.view: views[teacher.view] for teacher in teachers}

        def run(_: Any) -> None:
            outputs = [teacher(inputs, samples) for teacher in teachers]
            for each in outputs:
                each.wait()

        return Variant(run)

    def _head(self, name: str) -> Variant:
        """A head's terms and their gradients, given the models' outputs."""
        head = self.online.heads[name]
        student, chosen, targets = self._given(head)

        def leaves() -> Outputs:
            head.zero_grad()
            features = {tap: _leaf(x) for tap, x in student.features.items()}
            return Outputs(_leaf(student.logits), features)

        def run(outputs: Outputs) -> None:
            terms = head(outputs, chosen, targets)
            total = sum(x for key, x in terms.items() if key not in head.diagnostics)
            if total.requires_grad:  # not where it computes nothing in this round
                total.backward()

        return Variant(run, leaves)

    def _suffixes(self) -> Variant:
        """Parts of teachers that run on from the student's features, and back to them.

        Only the heads know which parts: they run before, which is not timed. A head
        that draws them makes the same draw as in the other variants of the round.
        """
        heads = [(head, *self._given(head)) for head in self.online.heads.values()]

        def ask() -> list[Callable[[], Tensor]]:
            suffixes: list[Callable[[], Tensor]] = []
            for head, student, chosen, targets in heads:
                noting = {t: _noting(x, suffixes) for t, x in chosen.items()}
                head(student, noting, targets)
            return suffixes

        def run(suffixes: list[Callable[[], Tensor]]) -> None:
            for suffix in suffixes:
                suffix().sum().backward()

        return Variant(run, ask)

    def _given(
        self, head: DistillationHead
    ) -> tuple[Outputs, dict[str, Outputs], Targets]:
        """The inputs of a head in a step, without the student's autograd graph."""
        model = self.online
        views, samples, targets = self._seen()
        names = head.choose(self.teacher_names)
        chosen = {t: model.frozen[t](views, samples).wait() for t in names}
        with torch.no_grad(), self._optimizer(model).optim_context(model):
            clip = views[model.own_view(views, samples)]
            student, _ = model.run_student(clip, samples, targets)
        return student, chosen, targets

    def _seen(
        self, model: Optional[VideoDistiller] = None
    ) -> tuple[Views, list, Targets]:
        """A made-up batch as the teachers get it in a step."""
        model = model or self.online
        batch = self.clips.made_up(self.clips.oversample)
        data = model.data_preprocessor(batch, training=True)
        views = model.views_of(data['inputs'])
        return views, data['data_samples'], data['targets']

    # Models

    def _plain_student(self) -> nn.Module:
        torch.manual_seed(0)
        return build_recognizer('student', self.student).to(self.device)

    @cached_property
    def online(self) -> VideoDistiller:
        """The distiller whose teachers run, rather than being cached."""
        teachers = {
            name: dict(
                self._cached(name).online_config() if is_cached(settings) else settings,
                checkpoint='random',
            )
            for name, settings in self._settings.items()
        }
        model = self._distiller(teachers)
        views, samples, _ = self._seen(model)
        for teacher in _online(model).values():
            outputs = teacher(views, samples).wait()
            rows, spread = teacher.classifier, outputs.logits.float().std()
            if rows is not None and 0 < float(spread) < float('inf'):
                rows.mul_(_LOGIT_SPREAD / float(spread))
        return model

    @property
    def training_only_bytes(self) -> int:
        """Bytes that a process with the teachers alone would not hold."""
        parts = (*self.online.parameters(), *self.online.buffers())
        return sum(part.numel() * part.element_size() for part in parts)

    def _cached_distiller(self) -> VideoDistiller:
        self.write_stores()
        model = self._distiller(self._all_cached())
        for teacher in model.teachers.values():
            if isinstance(teacher, CachedTeacher):
                teacher.check_data({}, 1)
        return model

    def _distiller(self, teachers: Mapping[str, Any]) -> VideoDistiller:
        model = self._built(teachers).to(self.device)
        model.load_teachers()
        return model

    def _built(self, teachers: Mapping[str, Any]) -> VideoDistiller:
        """The distiller, which reads no file before it loads its teachers."""
        torch.manual_seed(0)
        return MODELS.build(dict(self.model, teachers=teachers))

    def _all_cached(self) -> dict[str, dict[str, Any]]:
        return {name: self._cached_settings(name) for name in self._settings}

    def _cached_settings(self, name: str) -> dict[str, Any]:
        return dict(
            self._settings[name],
            type='mmvkd.CachedTeacher',
            checkpoint=str(self.folder / f'{name}.pth'),
            store=str(self.folder / name),
        )

    def _cached(self, name: str) -> CachedTeacher:
        """A teacher whose store, if there is none yet, :meth:`write_stores` writes."""
        return MODELS.build(self._cached_settings(name))

    def write_stores(self) -> None:
        """Write the online teachers, and stores that repeat their outputs for a batch.

        The stores have an entry for each clip of the data set if it is available, else
        for each of the batch.
        """
        if all(is_store(str(self.folder / name)) for name in self._settings):
            return
        count = self.setting.batch
        if self.clips.loading_problem is None:
            count = max(count, len(self.clips.dataset))
        self.folder.mkdir(parents=True, exist_ok=True)
        views, samples, _ = self._seen()
        for name, online in _online(self.online).items():
            cached = self._cached(name)
            outputs = online(views, samples).wait()
            # before the store, whose fingerprint includes them
            torch.save(online.model.state_dict(), cached.checkpoint)
            writer = cached.writer(online, outputs, count, views=1, data={})
            entries = writer.layout.encode(cached.kept(outputs))
            for shard in writer.open_shards():
                rows = np.asarray(writer.layout.shard(shard))
                writer.write(shard, entries[rows % len(entries)])


def _online(model: VideoDistiller) -> dict[str, RecognizerTeacher]:
    return {
        name: teacher
        for name, teacher in model.teachers.items()
        if isinstance(teacher, RecognizerTeacher)
    }


def _noting(outputs: Outputs, asked: list[Callable[[], Tensor]]) -> Outputs:
    """The same outputs, whose ``hybrid`` also notes its calls in ``asked``."""
    hybrid = outputs.hybrid
    if hybrid is None:
        return outputs

    def run(given: Mapping[str, Tensor]) -> Tensor:
        leaves = {tap: _leaf(feature) for tap, feature in given.items()}
        asked.append(partial(hybrid, leaves))
        return hybrid(given)

    return replace(outputs, hybrid=run)


def _copied(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same clips with samples of their own, whose labels a step may change."""
    return dict(data, data_samples=copy.deepcopy(data['data_samples']))


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()
