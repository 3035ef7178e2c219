"""What a recognizer costs: parameters, operations, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import torch
from mmaction.models import BaseRecognizer, Recognizer2D, Recognizer3D
from mmaction.registry import MODELS
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmvkd.models.recognizers import pipeline_of, student_config, without_pretrained
from mmvkd.registry import short_type

_CROPS = ('CenterCrop', 'ThreeCrop', 'TenCrop', 'RandomCrop')


@dataclass(frozen=True)
class Complexity:
    """The cost of one view of one clip.

    Args:
        shape: That of the input, batch included: (1, T, C, H, W) or (1, 1, C, T, H, W).
        parameters: Number of parameters.
        gflops: 10⁹ multiply-adds of backbone, neck and head.
        latency_ms: Median milliseconds of a forward pass on the CPU, if measured.
    """

    shape: tuple[int, ...]
    parameters: int
    gflops: float
    latency_ms: Optional[float] = None


def complexity(
    config: Mapping[str, Any],
    shape: Optional[Sequence[int]] = None,
    latency: bool = False,
) -> Complexity:
    """Measure the recognizer of a config; of a distiller, the student alone.

    No checkpoint is read and no teacher is built.

    Args:
        config: With ``model`` and, for the default shape, a validation or test
            pipeline.
        shape: (size), (height, width), or as in MMAction2 all of (T, C, H, W) for 2-D
            and (views, C, T, H, W) for 3-D recognizers. Default: one view as the
            validation pipeline makes it.
        latency: Measure the time as well.

    Raises:
        ValueError: if the shape is not given and cannot be inferred, or does not fit.
        TypeError: if the model is no recognizer of frames.
    """
    init_default_scope(config.get('default_scope') or 'mmaction')
    settings = student_config(config)
    if 'backbone' not in settings:
        raise TypeError(f'a {settings.get("type")} is not a recognizer: no backbone')
    model = MODELS.build(without_pretrained(settings)).eval()
    inputs = torch.zeros(input_shape(model, config, shape))
    analyzer = FlopAnalyzer(_Forward(model), (inputs,))
    analyzer.unsupported_ops_warnings(False)
    return Complexity(
        tuple(inputs.shape),
        sum(parameter.numel() for parameter in model.parameters()),
        float(analyzer.total()) / 1e9,
        cpu_latency(model, inputs) if latency else None,
    )


def cpu_latency(model: BaseRecognizer, inputs: Tensor) -> float:
    """Median milliseconds of 10 forward passes, after two for warm-up."""
    forward = _Forward(model).eval()
    times = []
    with torch.no_grad():
        for _ in range(12):
            start = time.perf_counter()
            forward(inputs)
            times.append(time.perf_counter() - start)
    return statistics.median(times[2:]) * 1e3


def input_shape(
    model: BaseRecognizer,
    config: Mapping[str, Any],
    shape: Optional[Sequence[int]] = None,
) -> tuple[int, ...]:
    """The shape of one view of one clip, batch included; see :func:`complexity`.

    Raises:
        ValueError: if the shape is not given and cannot be inferred, or does not fit.
        TypeError: if the model is no recognizer of frames.
    """
    if not isinstance(model, (Recognizer2D, Recognizer3D)):
        raise TypeError(
            f'a {type(model).__name__} does not recognize clips of frames, as '
            'Recognizer2D and Recognizer3D do'
        )
    shape = tuple(shape or ())
    if min(shape, default=1) < 1:
        raise ValueError(f'a shape of {shape}; each number is 1 or more')
    solid = isinstance(model, Recognizer3D)
    if len(shape) == (4 if solid else 5):
        kind = type(model).__name__
        expected = 'views C T H W' if solid else 'T C H W'
        raise ValueError(f'a {kind} takes a shape {expected}, not {len(shape)} numbers')
    return (1, *view_shape(config, shape))


def view_shape(
    config: Mapping[str, Any], shape: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """The input shape of one view, without the batch.

    Args:
        config: With a ``val_dataloader``, ``test_dataloader`` or ``train_dataloader``;
            the first of these is read. Views of a test (clips, crops) count once.
        shape: See :func:`complexity`.

    Raises:
        ValueError: if it cannot be inferred from the pipeline.
    """
    if len(shape) in (4, 5):
        return shape
    if len(shape) > 2:
        raise ValueError(
            f'a shape of {len(shape)} numbers; expected 1 (size), 2 (height width), '
            '4 (T C H W) or 5 (views C T H W)'
        )
    frames, layout = 0, ''
    image: tuple[int, ...] = ()
    for transform in pipeline_of(config):
        kind = short_type(transform['type'])
        if 'Sample' in kind:
            clips, length = transform.get('num_clips', 1), transform.get('clip_len', 1)
            # for single frames, num_clips counts the segments; for clips, the views
            frames = clips if length == 1 else length
        elif kind in _CROPS:
            image = _pair(transform.get('crop_size', transform.get('size')))
        elif kind == 'Resize' and not transform.get('keep_ratio', True):
            image = _pair(transform['scale'])
        elif kind == 'FormatShape':
            layout = transform['input_format']
    if shape:
        image = (shape[0], shape[-1])
    if not (frames and len(image) == 2 and layout in ('NCHW', 'NCTHW')):
        raise ValueError(
            f'the pipeline does not tell the shape (frames: {frames or "?"}, image: '
            f'{image or "?"}, format: {layout or "?"}); give --shape T C H W or '
            'views C T H W'
        )
    if layout == 'NCHW':
        return (frames, 3, *image)
    return (1, 3, frames, *image)


class _Forward(nn.Module):
    """A recognizer as a function from frames to class scores."""

    recognizer: BaseRecognizer

    def __init__(self, recognizer: BaseRecognizer) -> None:
        super().__init__()
        self.recognizer = recognizer

    def forward(self, inputs: Tensor) -> Tensor:
        stage = 'head' if self.recognizer.with_cls_head else 'neck'
        return self.recognizer.extract_feat(inputs, stage=stage)[0]


def _pair(size: Any) -> tuple[int, ...]:
    """(height, width) of a size, which MMAction2 writes as (width, height)."""
    if isinstance(size, int):
        return (size, size)
    pair = tuple(int(side) for side in reversed(tuple(size or ())))
    return pair if len(pair) == 2 and min(pair) > 0 else ()
