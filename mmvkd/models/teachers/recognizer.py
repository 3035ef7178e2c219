"""A frozen recognizer as teacher."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Optional

import torch
from mmaction.models import Recognizer3D
from mmaction.utils import SampleList
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvkd.models.checkpoints import checkpoint_name, load_weights
from mmvkd.models.kernels import kernels
from mmvkd.models.layouts import native
from mmvkd.models.losses.numerics import check_at_least, check_known
from mmvkd.models.outputs import ModelCard, Outputs, video_logits
from mmvkd.models.probe import input_channels, probe
from mmvkd.models.recognizers import (
    RecognizerConfig,
    build_recognizer,
    sampled_frames,
    without_pretrained,
)
from mmvkd.models.substages import is_complete
from mmvkd.models.taps import TapReader, parts_around
from mmvkd.models.teachers.substitution import Substitution
from mmvkd.models.views import ClipView
from mmvkd.registry import MODELS
from mmvkd.seeding import seeded

_PRECISIONS = {
    'fp32': torch.float32,
    'fp16': torch.float16,
    'bf16': torch.bfloat16,
}
_OF_DEVICE = (
    torch.cuda.OutOfMemoryError,
    # of torch 2.8 and later
    getattr(torch, 'AcceleratorError', torch.cuda.OutOfMemoryError),
)


@MODELS.register_module()
class RecognizerTeacher:
    """Gives a recognizer's logits and tapped features for a batch, frozen.

    It holds the recognizer but is not a module: a distiller has the same parameters,
    buffers and checkpoint with it as without, and copies of the distiller share it. It
    is always in eval mode and builds no graph.

    Args:
        model: The recognizer; its own ``pretrained`` is never executed.
        checkpoint: Its weights: a file, a run's folder (its best checkpoint) or an
            ``https://`` address, read in :meth:`load`; or ``'random'`` for a teacher
            that knows nothing, as a control in experiments.
        view: Settings of :class:`~mmvkd.models.views.ClipView` that differ from the
            model's own configuration, such as ``num_frames`` or ``size``. If a 3-D
            model is named by its config, it takes the frames of that config's pipeline.
        precision: ``fp32``, ``fp16`` or ``bf16`` autocast, which overrides any other.
            Hybrids, which have gradients, run in ``fp16`` only under ``--amp``.
        recipe: The command that makes the checkpoint, shown if it is missing.
        channels_last: Keep 2-D and 3-D kernels in channels-last memory format, and so
            the features between them. Outputs differ by rounding.
        compile: Run the model through ``torch.compile``, in the largest parts that
            have no tap inside, so that every tap works. Outputs differ by rounding.
        micro_batch: Most clips in one forward pass; a larger batch takes several, which
            need less memory. None passes all at once.
        stream: On a CUDA device, run beside the student in a separate stream, for which
            the heads wait but not the host. Elsewhere it has no effect but a warning.

    Raises:
        ValueError: for an unknown precision, a micro-batch below 1 or no checkpoint.
    """

    def __init__(
        self,
        model: RecognizerConfig,
        checkpoint: str,
        view: Optional[Mapping[str, Any]] = None,
        precision: str = 'fp32',
        recipe: str = '',
        channels_last: bool = False,
        compile: bool = False,
        micro_batch: Optional[int] = None,
        stream: bool = False,
    ) -> None:
        check_known('precision', precision, _PRECISIONS)
        if micro_batch is not None:
            check_at_least(1, micro_batch, 'micro_batch')
        self.name = 'teacher'
        self.checkpoint = checkpoint_name(checkpoint)
        self.recipe = recipe
        self.dtype = _PRECISIONS[precision]
        self._config = without_pretrained(model)
        self.model = build_recognizer('teacher', self._config)
        self.model.requires_grad_(False).eval()
        if channels_last:
            _put_channels_last(self.model)
        solid = isinstance(self.model, Recognizer3D)
        frames = sampled_frames(model) if solid else None
        self.view = ClipView.of(self.model, view, frames)
        self.reader = TapReader(self.model, ())
        self.compile = compile
        self.micro_batch = micro_batch
        self.stream = stream
        self.loaded = False
        self.offers_hybrid = False
        self._substitutions: dict[tuple[str, ...], Substitution] = {}
        self._side: Optional[torch.cuda.Stream] = None
        self._told = False
        # a TRN draws its relations when it is tested, too
        kinds = [type(module).__name__ for module in self.model.modules()]
        self._draws = 'RelationModuleMultiScale' in kinds

    def __deepcopy__(self, memo: dict) -> RecognizerTeacher:
        """Return itself: a copied or averaged distiller shares its frozen teachers."""
        return self

    def attach(self, name: str, taps: Mapping[str, Optional[str]]) -> ModelCard:
        """Name the teacher and tap it; ``taps`` gives a layout or None by tap name."""
        self.name = name
        self.reader = TapReader(self.model, tuple(taps), taps)
        return probe(name, self.model, self.view, self.reader)

    def load(self) -> None:
        """Read the weights; see :func:`~mmvkd.models.checkpoints.load_weights`."""
        role = f"teacher '{self.name}'"
        if self.checkpoint == 'random':
            # seeded by its name: the same on all ranks and in a resumed run
            with seeded(*self.name.encode()):
                drawn = build_recognizer(role, self._config)
            self.model.load_state_dict(drawn.state_dict())
        else:
            load_weights(role, self.model, self.checkpoint, self.recipe)
        if self.compile and not self.loaded:
            for part in parts_around(self.model, self.reader.names):
                part.forward = torch.compile(part.forward)
        self.loaded = True

    def to(self, device: torch.device) -> RecognizerTeacher:
        """Move to ``device``, keeping the precision.

        A copy of the distiller without memory (``meta``) shares this teacher, so moving
        to ``meta`` leaves the weights where they are.
        """
        if torch.device(device).type != 'meta':
            self.model.to(device)
        return self

    @property
    def classifier(self) -> Optional[Tensor]:
        """The rows (M, D) of the head's last linear layer, None if it has none.

        Only layers of M outputs count: in a TRN the last one is a hidden one.
        """
        head = self.model.cls_head
        linear = [
            m
            for m in head.modules()
            if isinstance(m, nn.Linear) and m.out_features == head.num_classes
        ]
        return linear[-1].weight.detach() if linear else None

    def kernels(self) -> dict[str, Tensor]:
        """The kernels of its convolutions, by module name."""
        return kernels(self.model.named_parameters())

    @torch.no_grad()
    def __call__(
        self, views: Mapping[ClipView, Tensor], data_samples: SampleList
    ) -> Outputs:
        """Outputs for a batch.

        Args:
            views: The batch's clip by view, such as a
                :class:`~mmvkd.models.views.Views`; :attr:`view` is used.
            data_samples: N samples, not used.

        Returns:
            Logits (N, M) and features (N, C, T, H, W), without a graph.

        Raises:
            RuntimeError: if its weights were not read, or the model does not run on
                clips of this size.
        """
        if not self.loaded:
            raise RuntimeError(
                f"teacher '{self.name}' has not read its weights; in a loop of your "
                'own, call init_weights() of the distiller first'
            )
        try:
            inputs = views[self.view]
        except ValueError as error:
            raise ValueError(f"teacher '{self.name}': {error}") from error
        if next(self.model.parameters()).device != inputs.device:
            # a copy of the distiller, such as an average on the host, moved it away
            self.to(inputs.device)
        if self.stream and not inputs.is_cuda and not self._told:
            self._told = True
            print_log(
                f"teacher '{self.name}' has stream=True, which is for CUDA devices; on "
                f"'{inputs.device.type}' it runs before the student",
                logger='current',
                level=logging.WARNING,
            )
        aside = self.stream and inputs.is_cuda
        outputs = self._aside(inputs) if aside else self._outputs(inputs)
        if self.offers_hybrid:
            outputs = replace(outputs, hybrid=partial(self.hybrid, inputs))
        return outputs

    def _aside(self, inputs: Tensor) -> Outputs:
        """Outputs that a separate stream is still computing."""
        if self._side is None or self._side.device != inputs.device:
            self._side = torch.cuda.Stream(inputs.device)
        self._side.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(self._side):
            outputs = self._outputs(inputs)
        # so that its memory is not reused before this stream has read it
        inputs.record_stream(self._side)
        return replace(outputs, ready=self._side.record_event())

    def _outputs(self, inputs: Tensor) -> Outputs:
        if self.micro_batch is None or len(inputs) <= self.micro_batch:
            return self._pass(inputs)
        return _joined([self._pass(part) for part in inputs.split(self.micro_batch)])

    def _pass(self, inputs: Tensor) -> Outputs:
        """Outputs of one forward pass."""
        batch = inputs.shape[0]
        taps = self.reader.recording(self.model)
        try:
            with self._on_its_own(inputs.device), taps:
                scores, _ = self.model.extract_feat(inputs, stage='head')
        except (RuntimeError, AssertionError) as error:
            # that of an earlier kernel may surface here
            of_device = isinstance(error, _OF_DEVICE) or 'CUDA error' in str(error)
            if of_device:
                raise
            takes, given = input_channels(self.model), inputs.shape[2]
            hint = (
                'if it takes other frames or another size, say '
                'view=dict(num_frames=…, size=…) of this teacher'
                if takes == given
                else f'it takes {takes} channels and the clip has {given}: teacher and '
                'student take frames of one modality'
            )
            raise RuntimeError(
                f"teacher '{self.name}' does not run on clips {tuple(inputs.shape)}: "
                f'{error}; {hint}'
            ) from error
        return Outputs(video_logits(scores, batch), self.reader.features(taps, batch))

    @contextmanager
    def _on_its_own(
        self, device: torch.device, dtype: Optional[torch.dtype] = None
    ) -> Iterator[None]:
        """The teacher's own autocast, which overrides any other, and its own draws."""
        dtype = dtype or self.dtype
        mixed = dtype is not torch.float32
        dtype = dtype if mixed else None
        draws = seeded(0) if self._draws else nullcontext()
        with torch.autocast(device.type, dtype, enabled=mixed), draws:
            yield

    def hybrid(self, inputs: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Logits of a batch, with the outputs of tapped modules given.

        Gradients flow to the given features and to no parameter. Modules before them
        are skipped if the rest of the architecture is known to need these features
        alone. The batch goes through at once, in the current stream.

        Args:
            inputs: The batch, in the teacher's view.
            features: (N, C, T, H, W) by tap, of the same sizes as the teacher's own.

        Returns:
            Logits (N, M).

        Raises:
            TapError: if a feature does not fit.
        """
        names = tuple(features)
        if names not in self._substitutions:
            alone = is_complete(self.model, names)
            self._substitutions[names] = Substitution(self.model, names, alone)
        # half-precision gradients vanish without the loss scaling of mixed precision
        scaled = torch.is_autocast_enabled(inputs.device.type)
        half = self.dtype is torch.float16
        dtype = torch.float32 if half and not scaled else self.dtype
        given = {}
        for name, feature in features.items():
            output = native(feature, self.reader.layouts[name])
            if dtype is torch.float32:
                output = output.float()
            given[name] = output.clone() if name in self.reader.cloned else output
        whole = self._substitutions[names].giving(given)
        with self._on_its_own(inputs.device, dtype), whole:
            scores, _ = self.model.extract_feat(inputs, stage='head')
        return video_logits(scores, inputs.shape[0])


def _joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of the micro-batches, in their order."""
    features = {
        name: torch.cat([part.features[name] for part in parts])
        for name in parts[0].features
    }
    return Outputs(torch.cat([part.logits for part in parts]), features)


def _put_channels_last(model: nn.Module) -> None:
    """Reorder the memory of the kernels in place; their outputs follow the layout."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(
                memory_format=formats[parameter.ndim]
            )
