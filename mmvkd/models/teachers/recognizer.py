"""A frozen recognizer as teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import torch
from torch import Tensor, nn

from mmvkd.models.outputs import ModelCard, Outputs
from mmvkd.models.probe import probe, video_logits
from mmvkd.models.recognizers import (
    RecognizerConfig,
    build_recognizer,
    load_weights,
    without_pretrained,
)
from mmvkd.models.taps import TapReader
from mmvkd.models.views import ClipView
from mmvkd.registry import MODELS

_PRECISIONS = {
    'fp32': torch.float32,
    'fp16': torch.float16,
    'bf16': torch.bfloat16,
}


@MODELS.register_module()
class RecognizerTeacher:
    """Gives a recognizer's logits and tapped features for a batch, frozen.

    It holds the recognizer without being a module: a distiller with it has the same
    parameters, buffers and checkpoint as without, and copies of the distiller share it.
    It is always in eval mode and builds no graph.

    Args:
        model: The recognizer; its own ``pretrained`` is never executed.
        checkpoint: Its weights: a file, a run's folder (its best checkpoint) or an
            ``https://`` address, read in :meth:`load`; or ``'random'`` for a teacher
            that knows nothing, as a control in experiments.
        view: Settings of :class:`~mmvkd.models.views.ClipView` that differ from what
            the model's own configuration says, such as ``num_frames`` or ``size``.
        precision: ``fp32``, ``fp16`` or ``bf16`` autocast, inside any other.
        recipe: The command that makes the checkpoint, told when it is missing.
    """

    def __init__(
        self,
        model: RecognizerConfig,
        checkpoint: str,
        view: Optional[Mapping[str, Any]] = None,
        precision: str = 'fp32',
        recipe: str = '',
    ) -> None:
        if precision not in _PRECISIONS:
            raise ValueError(
                f"precision '{precision}' is unknown; known: {', '.join(_PRECISIONS)}"
            )
        self.name = 'teacher'
        self.checkpoint = checkpoint
        self.recipe = recipe
        self.dtype = _PRECISIONS[precision]
        self.model = build_recognizer('teacher', without_pretrained(model))
        self.model.requires_grad_(False).eval()
        self.view = ClipView.of(self.model, view)
        self.reader = TapReader(self.model, ())
        self.loaded = False

    def __deepcopy__(self, memo: dict) -> RecognizerTeacher:
        """Itself: an averaged or copied distiller shares its frozen teachers."""
        return self

    def attach(self, name: str, taps: Mapping[str, Optional[str]]) -> ModelCard:
        """Name the teacher and tap it; ``taps`` gives a layout or None by tap name."""
        self.name = name
        layouts = {tap: layout for tap, layout in taps.items() if layout}
        self.reader = TapReader(self.model, tuple(taps), layouts)
        return probe(name, self.model, self.view, self.reader)

    def load(self) -> None:
        """Read the weights; see :func:`~mmvkd.models.recognizers.load_weights`."""
        if self.checkpoint != 'random':
            role = f"teacher '{self.name}'"
            load_weights(role, self.model, self.checkpoint, self.recipe)
        self.loaded = True

    def to(self, device: torch.device) -> RecognizerTeacher:
        """Move to ``device``; the precision stays.

        A copy of the distiller without memory (``meta``) shares this teacher, so it
        leaves the weights where they are.
        """
        if torch.device(device).type != 'meta':
            self.model.to(device)
        return self

    @property
    def classifier(self) -> Optional[Tensor]:
        """The rows (M, D) of the last linear layer of the head, None if it has none."""
        linear = [m for m in self.model.cls_head.modules() if isinstance(m, nn.Linear)]
        return linear[-1].weight.detach() if linear else None

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Outputs:
        """Outputs for a batch.

        Args:
            inputs: What :attr:`view` made of the batch's clip.

        Returns:
            Logits (N, M) and features (N, C, T, H, W), without graph.
        """
        batch = inputs.shape[0]
        mixed = self.dtype is not torch.float32
        if next(self.model.parameters()).device != inputs.device:
            # a copy of the distiller, as an average kept on the host, moved it away
            self.to(inputs.device)
        taps = self.reader.recording(self.model)
        dtype = self.dtype if mixed else None
        with torch.autocast(inputs.device.type, dtype, enabled=mixed), taps:
            scores, _ = self.model.extract_feat(inputs, stage='head')
        return Outputs(video_logits(scores, batch), self.reader.features(taps, batch))
