"""A recognizer that teaches while it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

from mmaction.models.recognizers import BaseRecognizer, Recognizer3D
from torch import Tensor

from mmvkd.models.checkpoints import load_weights
from mmvkd.models.kernels import kernels
from mmvkd.models.outputs import ModelCard
from mmvkd.models.probe import probe
from mmvkd.models.recognizers import (
    RecognizerConfig,
    build_recognizer,
    sampled_frames,
    without_pretrained,
)
from mmvkd.models.taps import TapReader
from mmvkd.models.views import ClipView
from mmvkd.registry import short_type

_SETTINGS = ('type', 'model', 'checkpoint', 'view', 'recipe')


class Peer:
    """What the heads of another model see of a recognizer that learns.

    It is run, and moved between devices, by the distiller whose student it is.

    Args:
        model: A config, or the recognizer itself.
        checkpoint: See :class:`~mmvkd.models.teachers.RecognizerTeacher`; None keeps
            the recognizer's own initialization, its ``pretrained`` included.
        view: Likewise.
        recipe: Likewise.
    """

    def __init__(
        self,
        model: Union[RecognizerConfig, BaseRecognizer],
        checkpoint: Optional[str] = None,
        view: Optional[Mapping[str, Any]] = None,
        recipe: str = '',
    ) -> None:
        source = model  # before it is read
        if checkpoint is not None:
            model = without_pretrained(model)
        self.name = 'teacher'
        self.checkpoint = checkpoint
        self.recipe = recipe
        self.model = build_recognizer('teacher', model)
        frames = None
        if isinstance(self.model, Recognizer3D) and self.model is not source:
            frames = sampled_frames(source)
        self.view = ClipView.of(self.model, view, frames)

    @classmethod
    def config(cls, name: str, teacher: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the config of a frozen teacher into that of one that learns.

        Raises:
            ValueError: if this teacher cannot learn.
        """
        kind = str(teacher.get('type'))
        if short_type(kind) != 'RecognizerTeacher':
            raise ValueError(
                f"teacher '{name}' is a {kind}, which cannot learn (mutual=True); make "
                'it a mmvkd.RecognizerTeacher'
            )
        for key in teacher:
            if key not in _SETTINGS:
                raise ValueError(
                    f"teacher '{name}' learns (mutual=True), and '{key}' is for frozen "
                    f'ones; it takes {", ".join(_SETTINGS[1:])}'
                )
        return dict(teacher, type=cls)

    def attach(self, name: str, taps: Mapping[str, Optional[str]]) -> ModelCard:
        """Name it and probe its taps; ``taps`` gives a layout or None by tap name."""
        self.name = name
        reader = TapReader(self.model, tuple(taps), taps)
        return probe(name, self.model, self.view, reader)

    def load(self) -> None:
        """Read the weights, if they are in a file."""
        if self.checkpoint not in (None, 'random'):
            role = f"teacher '{self.name}'"
            load_weights(role, self.model, self.checkpoint, self.recipe)

    def kernels(self) -> dict[str, Tensor]:
        """The kernels of its convolutions as they are now, by module name."""
        return kernels(self.model.named_parameters())
