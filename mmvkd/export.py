"""Exports a student as a checkpoint that needs nothing of this project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor

from mmvkd.files import replacing
from mmvkd.models.recognizers import (
    find_checkpoint,
    mismatch,
    plain_state,
    read_checkpoint,
    student_config,
    without_pretrained,
)

_PLAIN = (str, int, float, bool, type(None))


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
        FileNotFoundError: If there is no ``source``.
        RuntimeError: If it is unreadable, or does not fit ``config``.
        ValueError: If it holds no student.
    """
    found = find_checkpoint(source)
    if found is None:
        raise FileNotFoundError(f"checkpoint '{source}' is missing")
    source = found
    if Path(target).exists() and Path(target).samefile(source):
        raise ValueError(f"'{target}' is the checkpoint itself; name another file")
    checkpoint = read_checkpoint(source)
    state = _student_state(source, checkpoint)
    if config is not None:
        init_default_scope(config.get('default_scope') or 'mmaction')
        model = MODELS.build(without_pretrained(student_config(config)))
        problem = mismatch(model, state)
        if problem:
            raise RuntimeError(
                f"checkpoint '{source}' does not fit the config's recognizer: {problem}"
            )
    exported = dict(state_dict=state, meta=_plain_meta(checkpoint.get('meta')))
    with replacing(Path(target)) as temporary:
        torch.save(exported, temporary)
    return exported


def _student_state(source: str, checkpoint: Any) -> dict[str, Tensor]:
    """The recognizer's tensors, each in memory of its own."""
    found: Any = checkpoint
    if isinstance(checkpoint, Mapping):
        found = checkpoint.get('state_dict', checkpoint)
    if not isinstance(found, Mapping) or not all(
        isinstance(x, Tensor) for x in found.values()
    ):
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
        if isinstance(meta.get(key), _PLAIN) and meta.get(key) is not None
    }
    dataset = meta.get('dataset_meta')
    classes = dataset.get('classes') if isinstance(dataset, Mapping) else None
    if isinstance(classes, (list, tuple)):
        # MMEngine's inferencer reads them from here
        plain['dataset_meta'] = dict(classes=[str(name) for name in classes])
    return plain
