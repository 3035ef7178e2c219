"""Exports a student as files that need nothing of this project."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from mmaction.models import BaseRecognizer
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmvkd.evaluation.complexity import input_shape
from mmvkd.files import replacing
from mmvkd.models.checkpoints import (
    find_checkpoint,
    mismatch,
    not_found,
    plain_state,
    read_checkpoint,
)
from mmvkd.models.recognizers import student_config, without_pretrained
from mmvkd.models.views import ClipView, to_clip

_PLAIN = (str, int, float, bool)


def export_student(
    source: str, target: str, config: Optional[Mapping[str, Any]] = None
) -> dict[str, Any]:
    """Write the student of a checkpoint as tensors and plain types only.

    MMEngine's ``state_dict`` is taken, which has the averaged weights where ``EMAHook``
    was on. Optimizer, message hub and ``distill.`` parts are left out.

    Args:
        source: A checkpoint of a distiller or of a plain recognizer.
        target: The file to write.
        config: If given, the weights must fit its recognizer strictly.

    Returns:
        What was written: ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: if there is no ``source``.
        RuntimeError: if it is unreadable, or does not fit ``config``.
        ValueError: if it holds no student.
    """
    source, checkpoint = _read(source, target)
    state = _student_state(source, checkpoint)
    if config is not None:
        _recognizer(source, state, config)
    exported = dict(state_dict=state, meta=_plain_meta(checkpoint.get('meta')))
    with replacing(Path(target)) as temporary:
        torch.save(exported, temporary)
    return exported


def export_program(
    source: str,
    target: str,
    config: Mapping[str, Any],
    shape: Optional[Sequence[int]] = None,
) -> torch.export.ExportedProgram:
    """Write the student as a program of ``torch.export``, which needs torch alone.

    It maps the frames of one view, uint8 (1, T, C, H, W) or for 3-D recognizers
    (1, 1, C, T, H, W) as the validation pipeline packs them, to class scores (1, M) as
    the recognizer's test gives them. Normalization is part of it.

    Args:
        source: A checkpoint of a distiller or of a plain recognizer.
        target: The file to write, usually ``.pt2``.
        config: Of the recognizer, or of a distiller with it as the student.
        shape: As :func:`~mmvkd.evaluation.complexity.complexity` takes it. Default: one
            view of the validation pipeline.

    Raises:
        FileNotFoundError: if there is no ``source``.
        RuntimeError: if it is unreadable, or does not fit ``config``.
        ValueError: if it holds no student, or the shape does not fit.
        TypeError: if the recognizer is not one of frames.
    """
    source, checkpoint = _read(source, target)
    model = _recognizer(source, _student_state(source, checkpoint), config)
    frames = torch.zeros(input_shape(model, config, shape), dtype=torch.uint8)
    module = _Program(model).eval()
    with torch.no_grad():
        module(frames)  # makes the constants of its view, which tracing must not
        program = torch.export.export(module, (frames,), strict=False)
    written = io.BytesIO()
    torch.export.save(program, written)
    with replacing(Path(target)) as temporary:
        temporary.write_bytes(written.getvalue())
    return program


class _Program(nn.Module):
    """A recognizer as a function from frames to class scores, as its test has them."""

    def __init__(self, recognizer: BaseRecognizer) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.view = ClipView.of(recognizer)

    def forward(self, frames: Tensor) -> Tensor:
        inputs = self.view(to_clip(frames, self.view.format_shape))
        features, settings = self.recognizer.extract_feat(inputs, test_mode=True)
        head = self.recognizer.cls_head
        scores = head(features, **settings)
        return head.average_clip(scores, num_segs=len(scores))


def _read(source: str, target: str) -> tuple[str, Any]:
    """The file that ``source`` stands for, and what it holds."""
    found = find_checkpoint(source)
    if found is None:
        raise FileNotFoundError(not_found(source))
    if Path(target).exists() and Path(target).samefile(found):
        raise ValueError(f"'{target}' is the checkpoint itself; name another file")
    return found, read_checkpoint(found)


def _recognizer(
    source: str, state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> BaseRecognizer:
    """The config's recognizer with these weights, which must fit it."""
    init_default_scope(config.get('default_scope') or 'mmaction')
    model = MODELS.build(without_pretrained(student_config(config)))
    problem = mismatch(model, state)
    if problem:
        raise RuntimeError(
            f"checkpoint '{source}' does not fit the config's recognizer: {problem}"
        )
    model.load_state_dict(state)
    return model


def _student_state(source: str, checkpoint: Any) -> dict[str, Tensor]:
    """The recognizer's tensors, each in memory of its own."""
    found = checkpoint.get('state_dict', checkpoint)
    if not all(isinstance(x, Tensor) for x in found.values()):
        raise ValueError(f"'{source}' holds no student: it is not a state dict")
    state = plain_state(checkpoint)
    for part in ('backbone', 'cls_head'):
        if not any(key.startswith(f'{part}.') for key in state):
            there = sorted({key.partition('.')[0] for key in found})
            raise ValueError(
                f"'{source}' holds no student: no '{part}.' among its parts: "
                f'{", ".join(there) or "(none)"}'
            )
    return {key: x.detach().cpu().clone() for key, x in state.items()}


def _plain_meta(meta: Any) -> dict[str, Any]:
    """How far it was trained, and the names of its classes."""
    meta = meta if isinstance(meta, Mapping) else {}
    plain: dict[str, Any] = {
        key: meta[key]
        for key in ('epoch', 'iter', 'experiment_name', 'mmengine_version')
        if isinstance(meta.get(key), _PLAIN)
    }
    dataset = meta.get('dataset_meta')
    classes = dataset.get('classes') if isinstance(dataset, Mapping) else None
    if isinstance(classes, (list, tuple)):
        # MMEngine's inferencer reads them from here
        plain['dataset_meta'] = dict(classes=[str(name) for name in classes])
    return plain
