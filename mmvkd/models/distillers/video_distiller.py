"""A distiller is a recognizer: the student, with teachers at its side in training."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Callable, Optional, Union

import torch
from mmaction.models.recognizers import BaseRecognizer
from mmaction.utils import SampleList
from mmengine.model import BaseModel, merge_dict
from torch import Tensor, nn

from mmvkd.models.distillers.checks import (
    check_can_learn,
    check_diagnostics,
    check_head,
    check_keys,
    check_loss,
    check_teacher,
    check_types,
    naming,
    warn_of_raw_frames,
)
from mmvkd.models.distillers.label_loss import label_loss
from mmvkd.models.distillers.preprocessor import DistillPreprocessor
from mmvkd.models.heads.base import DistillationHead
from mmvkd.models.label_bank import LabelBank
from mmvkd.models.outputs import ModelCard, Outputs, Targets, video_logits
from mmvkd.models.probe import probe
from mmvkd.models.recognizers import RecognizerConfig, build_recognizer
from mmvkd.models.substages import belongs
from mmvkd.models.taps import TapReader
from mmvkd.models.teachers import CachedTeacher, FrozenTeacher, Peer, Teacher
from mmvkd.models.views import ClipView, Views, to_clip
from mmvkd.registry import MODELS

Layouts = dict[str, Optional[str]]
"""Layouts by tap; None for one that is to be inferred."""


@MODELS.register_module()
class VideoDistiller(BaseModel):
    """Trains a student recognizer with the help of teachers.

    To MMAction2's tools it is the student: it predicts as the student does, and its
    ``state_dict`` is the student's, plus training-only parts under ``distill.``.

    Teachers are frozen. With ``mutual`` they learn, too: each is the student of another
    distiller, under ``distill.teachers``, whose only teacher is this student. That
    distiller has its own label loss, balancer and reversed heads; no gradient passes
    between the two. Phases of a cascade affect the student only. If gradients are
    clipped, the norm is over both.

    Args:
        student: Any MMAction2 recognizer of clips: a model dict, the path of a config,
            a ``mmaction::recognition/…`` name, or the recognizer itself.
        teachers: Teacher wrappers by name.
        heads: Distillation heads by name.
        balancer: How the heads' terms become one objective.
        student_view: Settings of the student's view in training that differ from its
            own configuration. One that takes any number of frames is given those that
            its pipeline samples, without what ``oversample`` adds for teachers.
        mutual: Train the teachers as well, each configured as a
            :class:`~mmvkd.models.teachers.RecognizerTeacher`. Its entries of the
            objective and of the log begin with its name.

    Attributes:
        learning: Dotted names of the student's modules that learn, None for all; the
            others stay in eval mode. Whoever sets this also sets ``requires_grad``.
        uses_labels: Whether the losses of the student's own head count.
        rated: Names of the frozen teachers of the student's classes. Each has a log
            entry ``NAME_top1_acc``: the share of a batch's labeled clips whose label it
            ranks first; not while labels are refined.
    """

    student: BaseRecognizer
    distill: Any

    def __init__(
        self,
        student: Union[RecognizerConfig, BaseRecognizer],
        teachers: Optional[Mapping[str, Any]] = None,
        heads: Optional[Mapping[str, Any]] = None,
        balancer: Optional[Mapping[str, Any]] = None,
        student_view: Optional[Mapping[str, Any]] = None,
        mutual: bool = False,
    ) -> None:
        teachers, heads = teachers or {}, heads or {}
        check_types('teacher', teachers)
        check_types('head', heads)
        recognizer = build_recognizer('student', student)
        check_loss(recognizer)
        super().__init__(DistillPreprocessor(recognizer.data_preprocessor))
        self.student = recognizer
        self.bank: Optional[LabelBank] = None
        self.view = ClipView.of(recognizer, student_view)
        self.learning: Optional[tuple[str, ...]] = None
        self.uses_labels = True
        # so that the student draws the same random numbers as without a teacher
        with torch.random.fork_rng(devices=[]):
            self.teachers: dict[str, Teacher] = {}
            for name, config in teachers.items():
                with naming(f"teacher '{name}'"):
                    config = Peer.config(name, config) if mutual else dict(config)
                    self.teachers[name] = MODELS.build(config)
                    check_teacher(self.teachers[name])
            built = {}
            for name, config in heads.items():
                with naming(f"head '{name}'"):
                    built[name] = MODELS.build(dict(config))
            self.distill = nn.ModuleDict(
                dict(
                    heads=nn.ModuleDict(built),
                    balancer=MODELS.build(balancer or dict(type='mmvkd.FixedBalancer')),
                    teachers=nn.ModuleDict(),
                )
            )
            self._attach()
            if mutual:
                peer = dict(type=Peer, model=recognizer, view=student_view)
                for name in teachers:
                    self.partners[name] = self._partner(name, peer, heads, balancer)
        self._register_state_dict_hook(_as_student)
        self._register_load_state_dict_pre_hook(_from_student)
        # read by DDP, which wraps before MMAction2's backbones freeze their stages
        self._ddp_params_and_buffers_to_ignore = _frozen_in_training(self)

    @property
    def heads(self) -> Mapping[str, DistillationHead]:
        """The distillation heads by name."""
        return self.distill['heads']

    @property
    def balancer(self) -> Any:
        """What makes one objective of the heads' terms."""
        return self.distill['balancer']

    @property
    def partners(self) -> MutableMapping[str, VideoDistiller]:
        """The teachers that learn, by name."""
        return self.distill['teachers']

    @property
    def frozen(self) -> dict[str, FrozenTeacher]:
        """The teachers that do not learn, by name."""
        teachers = self.teachers.items()
        return {name: t for name, t in teachers if not isinstance(t, Peer)}

    @property
    def _asked(self) -> dict[str, FrozenTeacher]:
        """Those of them whose outputs a step needs."""
        if self.bank is not None:
            return self.frozen
        heads = [name for name, head in self.heads.items() if head.enabled]
        asked = {teacher for name in heads for teacher in self._teachers_of[name]}
        return {name: t for name, t in self.frozen.items() if name in asked}

    def _partner(
        self,
        name: str,
        peer: Mapping[str, Any],
        heads: Mapping[str, Any],
        balancer: Optional[Mapping[str, Any]],
    ) -> VideoDistiller:
        """The distiller through which a teacher learns from this student, its peer."""
        learner: Any = self.teachers[name]
        check_can_learn(self.cards[name], self.student)
        reversed_heads = {
            key: type(self.heads[key]).reverse(config, name)
            for key, config in heads.items()
            if name in self._teachers_of[key]
        }
        return VideoDistiller(
            student=learner.model,
            teachers=dict(student=peer),
            heads=reversed_heads,
            balancer=balancer,
            student_view=asdict(learner.view),
        )

    def _attach(self) -> None:
        """Tap the models, tell the heads about them and let them build what they need.

        Raises:
            ValueError: for names, taps or classes that do not fit.
        """
        self.refuse_blending(
            [n for n, t in self.teachers.items() if isinstance(t, CachedTeacher)]
        )
        self._teachers_of: dict[str, tuple[str, ...]] = {}
        for name, head in self.heads.items():
            with naming(f"head '{name}'"):
                chosen = head.choose(tuple(self.teachers))
                teachers = {t: self.teachers[t] for t in chosen}
                check_head(name, head, teachers)
                self._teachers_of[name] = chosen
                head.inspect_models(self.student, teachers)
        student_taps, teacher_taps = self._taps_of_heads()
        with naming('student'):
            self.reader = TapReader(self.student, tuple(student_taps), student_taps)
        card = probe('student', self.student, self.view, self.reader)
        self.cards: dict[str, ModelCard] = {}
        for name, teacher in self.teachers.items():
            with naming(f"teacher '{name}'"):
                self.cards[name] = teacher.attach(name, teacher_taps[name])
            warn_of_raw_frames(name, teacher, self.view)
        for name, head in self.heads.items():
            with naming(f"head '{name}'"):
                head.attach(card, {t: self.cards[t] for t in self._teachers_of[name]})
            check_diagnostics(name, head)
        self.rated = [
            name for name in self.frozen if self.cards[name].shares_classes_of(card)
        ]
        heads = self.heads.items()
        terms = [_key(name, term) for name, h in heads for term in h.terms]
        of_labels = [_key(name, term) for name, h in heads for term in h.label_terms]
        logs = [_key(name, log) for name, h in heads for log in h.diagnostics]
        check_keys([*terms, *logs, *map(accuracy_of, self.rated)])
        self.balancer.attach(terms, of_labels)

    def _taps_of_heads(self) -> tuple[Layouts, dict[str, Layouts]]:
        """The taps of the student, and those of each teacher."""
        of_student: Layouts = {}
        of_teachers: dict[str, Layouts] = {name: {} for name in self.teachers}
        for name, head in self.heads.items():
            with naming(f"head '{name}'"):
                _add_taps(of_student, head.student_taps())
                for teacher in self._teachers_of[name]:
                    _add_taps(of_teachers[teacher], head.teacher_taps(teacher))
        return of_student, of_teachers

    @property
    def active_terms(self) -> list[str]:
        """Current terms of the objective: those of heads, and ``cls`` for labels."""
        terms = [
            _key(n, term) for n, h in self.heads.items() for term in h.active_terms
        ]
        return ['cls', *terms] if self.uses_labels else terms

    def refuse_blending(self, cached: Sequence[str]) -> None:
        """Refuse to blend the student's clips if teachers are cached.

        Args:
            cached: Names of the cached teachers.

        Raises:
            ValueError: if the student blends and there are any.
        """
        blending = self.student.data_preprocessor.blending
        if blending is not None and cached:
            raise ValueError(
                f'{type(blending).__name__} blends clips of a batch, and the store of '
                f"teacher '{cached[0]}' has each for itself; turn it off in the "
                "student's data_preprocessor or make the teacher a "
                'mmvkd.RecognizerTeacher'
            )

    def learn_from(self, bank: LabelBank) -> None:
        """Take labels from ``bank``, and let it note the predictions of training."""
        self.data_preprocessor.read_targets = bank.targets
        self.bank = bank

    def init_weights(self) -> None:
        """Initialize the student as if it were alone, then read the teachers' files.

        Only training calls this, so only training needs the files.
        """
        self.student.init_weights()
        self.load_teachers()
        self._is_init = True

    def load_teachers(self) -> None:
        """Read the teachers' files, and let the heads read constants from them."""
        device = next(self.student.parameters()).device
        for teacher in self.frozen.values():
            teacher.load()
            teacher.to(device)
        for name, partner in self.partners.items():
            partner.init_weights()
            self.teachers[name].load()
        for name, head in self.heads.items():
            with naming(f"head '{name}'"):
                head.prepare({t: self.teachers[t] for t in self._teachers_of[name]})

    def train(self, mode: bool = True) -> VideoDistiller:
        """Set the mode; modules of the student that do not learn stay in eval mode."""
        super().train(mode)
        if mode and self.learning is not None:
            for name, module in self.student.named_modules():
                # modules around a learning one stay in training mode
                around = any(other.startswith(f'{name}.') for other in self.learning)
                if name and not around and not belongs(name, self.learning):
                    module.training = False
        return self

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> VideoDistiller:
        """Move the teachers to the device, too; they keep their precision."""
        super()._apply(fn, *args, **kwargs)
        device = next(self.student.parameters()).device
        for teacher in self.frozen.values():
            if teacher.loaded:
                teacher.to(device)
        return self

    def forward(
        self,
        inputs: Tensor,
        data_samples: Optional[SampleList] = None,
        mode: str = 'tensor',
        targets: Optional[Targets] = None,
        **kwargs: Any,
    ) -> Any:
        """What the student would return; with ``mode='loss'``, the objective's entries.

        Args:
            inputs: For ``loss``, the clip as loaded (uint8, or float after blending);
                otherwise the output of the student's preprocessor.
            data_samples: The samples.
            mode: ``loss``, ``predict`` or ``tensor``.
            targets: For ``loss``, the targets from the preprocessor.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples or [], targets)
        return self.student(inputs, data_samples, mode=mode, **kwargs)

    def extract_feat(self, inputs: Tensor, **kwargs: Any) -> Any:
        """The student's features."""
        return self.student.extract_feat(inputs, **kwargs)

    def loss(
        self,
        inputs: Tensor,
        data_samples: SampleList,
        targets: Optional[Targets] = None,
    ) -> dict[str, Tensor]:
        """The entries of the objective.

        Args:
            inputs: (N, T, C, H, W) for a 2-D student, (N, 1, C, T, H, W) for a 3-D one,
                0..255.
            data_samples: N samples.
            targets: Their labels.
        """
        if targets is None:
            targets = Targets.of(data_samples).to(inputs.device)
        views = self.views_of(inputs)
        # teachers first: their memory is free by the time the student's graph is built
        teachers = {
            name: teacher(views, data_samples) for name, teacher in self._asked.items()
        }
        clip = views[self.own_view(views, data_samples)]
        others = {name: views[partner.view] for name, partner in self.partners.items()}
        views.clear()
        student, own = self.run_student(clip, data_samples, targets)
        # after the student, so that it draws the same random numbers as it would alone
        of_partners = {
            name: partner.run_student(others[name], data_samples, targets)
            for name, partner in self.partners.items()
        }
        teachers.update({name: o.detached() for name, (o, _) in of_partners.items()})
        for outputs in teachers.values():
            outputs.wait()
        if self.bank is not None:
            self.bank.observe(data_samples, student, teachers)
        entries = self._objective(student, own, teachers, targets)
        # refined labels follow the teachers
        if self.bank is None and targets.count:
            rated = [name for name in self.rated if name in teachers]
            entries.update(
                {accuracy_of(t): targets.accuracy(teachers[t].logits) for t in rated}
            )
        their_teacher = dict(student=student.detached())
        for name, theirs in of_partners.items():
            back = self.partners[name]._objective(*theirs, their_teacher, targets)
            entries.update({f'{name}_{key}': value for key, value in back.items()})
        return entries

    def views_of(self, inputs: Tensor) -> Views:
        """The clips of a batch as each model sees them.

        Args:
            inputs: As :meth:`loss` takes them.

        Raises:
            ValueError: if the pipeline gives the format of another student.
        """
        return Views(to_clip(inputs, self.view.format_shape))

    def own_view(self, views: Views, data_samples: SampleList) -> ClipView:
        """The student's view, of the frames that its pipeline samples if any will do.

        So it trains on as many as in testing, where nothing is oversampled.
        """
        factor = data_samples[0].metainfo.get('oversampled', 1)
        if factor == 1 or self.view.num_frames is not None:
            return self.view
        return replace(self.view, num_frames=views.clip.shape[3] // factor)

    def run_student(
        self, inputs: Tensor, data_samples: SampleList, targets: Targets
    ) -> tuple[Outputs, dict[str, Tensor]]:
        """The student's outputs and the losses of its own head, from one pass.

        Args:
            inputs: The clips as the student sees them: (N, T, C, H, W) for a 2-D one,
                (N, 1, C, T, H, W) for a 3-D one, normalized.
            data_samples: N samples.
            targets: Their labels.

        Raises:
            ValueError: if a clip has no label and the neck has a loss that needs it.
        """
        neck = getattr(self.student, 'neck', None)
        if not targets.complete and getattr(neck, 'aux_head', None) is not None:
            raise ValueError(
                f'the neck {type(neck).__name__} has an aux_head, whose loss '
                'needs every label, and a clip of the batch has none (-1); leave it out'
            )
        taps = self.reader.recording(self.student)
        with taps:
            features, extra = self.student.extract_feat(
                inputs, data_samples=data_samples
            )
            scores = self.student.cls_head(features, **extra)
        batch = len(data_samples)
        outputs = Outputs(
            video_logits(scores, batch), self.reader.features(taps, batch)
        )
        own = label_loss(self.student.cls_head, outputs.logits, data_samples, targets)
        return outputs, merge_dict(own, extra.get('loss_aux', {}))

    def _objective(
        self,
        student: Outputs,
        own: dict[str, Tensor],
        teachers: Mapping[str, Outputs],
        targets: Targets,
    ) -> dict[str, Tensor]:
        """The balanced entries of the label losses and the heads' terms."""
        terms: dict[str, Tensor] = {}
        logs: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        if not self.uses_labels:
            own = {key: value for key, value in own.items() if 'loss' not in key}
        for name, head in self.heads.items():
            if not head.enabled:
                continue
            chosen = {t: teachers[t] for t in self._teachers_of[name]}
            for term, value in head(student, chosen, targets).items():
                key = _key(name, term)
                if term in head.diagnostics:
                    logs[key] = value.detach()
                else:
                    terms[key], weights[key] = value, head.weight_of(term)
        return {**self.balancer(own, terms, weights), **logs}


def _frozen_in_training(model: nn.Module) -> list[str]:
    """Names of the parameters that ``train`` freezes; they can learn again after this.

    An optimizer is built before it is called, and has groups for these parameters, too.
    """
    open_ones = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model.train()
    frozen = [name for name, p in open_ones.items() if not p.requires_grad]
    for name in frozen:
        open_ones[name].requires_grad = True
    return frozen


def _key(head: str, term: str) -> str:
    """The name of a head's term among all terms."""
    return f'{head}_{term}' if term else head


def accuracy_of(teacher: str) -> str:
    """The log entry that tells how often a teacher is right."""
    return f'{teacher}_top1_acc'


def _add_taps(known: Layouts, more: Layouts) -> None:
    """Add the layouts of one head's taps to those of all heads.

    Raises:
        ValueError: if two heads give a tap different layouts.
    """
    for tap, layout in more.items():
        before = known.get(tap)
        if before and layout and before != layout:
            raise ValueError(
                f"tap '{tap}' has layout='{before}' in one head and '{layout}' in "
                'another; it is one of them'
            )
        known[tap] = before or layout


def _as_student(module: nn.Module, state: dict, prefix: str, metadata: Any) -> None:
    """State-dict hook: ``student.x`` is written as ``x``."""
    for key in list(state):
        if key.startswith(prefix):
            name = key[len(prefix) :].removeprefix('student.')
            state[prefix + name] = state.pop(key)


def _from_student(state: dict, prefix: str, *args: Any) -> None:
    """Load pre-hook: ``x`` is read as ``student.x``, unless it is ``distill.…``."""
    for key in list(state):
        if key.startswith(prefix) and not key.startswith(f'{prefix}distill.'):
            state[f'{prefix}student.{key[len(prefix) :]}'] = state.pop(key)
