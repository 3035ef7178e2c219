"""Shapes before the first step, from a dry pass of a copy without memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product

import torch
from mmaction.models.recognizers import BaseRecognizer
from torch import Tensor, nn

from mmvkd.models.outputs import ModelCard
from mmvkd.models.recognizers import is_multi_label
from mmvkd.models.taps import TapReader
from mmvkd.models.views import ClipView

_BATCH = 2
# unequal sides tell (T, H, W, C) from (C, T, H, W); some models take one size only
_IMAGES = ((192, 320), (224, 224), (112, 112))
_FRAMES = (32, 16, 8)


def probe(
    name: str, recognizer: BaseRecognizer, view: ClipView, reader: TapReader
) -> ModelCard:
    """Find the class count and tap shapes, and let ``reader`` learn the layouts.

    Args:
        name: ``student`` or the teacher's name, for messages.
        recognizer: Left as it is: the pass runs on a copy on the meta device, or on a
            real copy if an operation needs values.
        view: Determines the format and frames of the input.
        reader: The taps.

    Raises:
        TapError: for taps that give no feature.
        RuntimeError: if the model runs on none of the clips tried.
    """
    classes = int(recognizer.cls_head.num_classes)
    card = ModelCard(name, classes, is_multi_label(recognizer))
    if not reader.names:
        return card
    volumes = view.format_shape != 'NCHW'
    failure = ''
    for device in ('meta', 'cpu'):
        dry = copy.deepcopy(recognizer).to(device).eval()
        for frames, image in _clips(view):
            inputs = _inputs(recognizer, volumes, frames, image, device)
            taps = reader.recording(dry)
            try:
                with torch.no_grad(), taps:
                    dry.extract_feat(inputs, stage='head')
            except (RuntimeError, NotImplementedError, AssertionError) as error:
                failure = failure or f'{type(error).__name__}: {error}'
                continue
            reader.learn(taps, _BATCH, image, volumes)
            features = reader.recast(taps, _BATCH)
            shapes = {tap: tuple(x.shape[1:]) for tap, x in features.items()}
            return replace(card, shapes=shapes)
    tried = ', '.join(f'{t}×{h}×{w}' for t, (h, w) in _clips(view))
    setting = 'student_view' if name == 'student' else 'view'
    raise RuntimeError(
        f"'{name}' does not run on clips of {tried} (T×H×W), the first of which ended "
        f'in: {failure}; if it takes others, say {setting}=dict(num_frames=…, size=…)'
    )


def input_channels(recognizer: BaseRecognizer) -> int:
    """Channels of the frames that a recognizer takes."""
    # a backbone's own `in_channels` may be that of its last layer
    kinds = (nn.Conv2d, nn.Conv3d)
    modules = recognizer.backbone.modules()
    return next((m.in_channels for m in modules if isinstance(m, kinds)), 3)


def _clips(view: ClipView) -> list[tuple[int, tuple[int, int]]]:
    """Frames and (height, width) to try, in order."""
    usual = _FRAMES if view.format_shape != 'NCHW' else _FRAMES[-1:]
    frames = usual if view.num_frames is None else (view.num_frames,)
    images = _IMAGES if view.size is None else (*_IMAGES, view.size)
    return list(product(frames, images))


def _inputs(
    recognizer: BaseRecognizer,
    volumes: bool,
    frames: int,
    image: tuple[int, int],
    device: str,
) -> Tensor:
    channels = input_channels(recognizer)
    if volumes:
        return torch.zeros((_BATCH, 1, channels, frames, *image), device=device)
    return torch.zeros((_BATCH, frames, channels, *image), device=device)
