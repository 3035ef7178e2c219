"""Checkpoint files: which one a path stands for, read safely, and whether it fits."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from torch import nn

from mmvkd.errors import reading_problem
from mmvkd.tool_commands import as_typed_here


def load_weights(role: str, model: nn.Module, path: str, recipe: str = '') -> None:
    """Load a checkpoint of tensors and plain types, strictly; no code in it is run.

    Args:
        role: For messages.
        model: Loaded in place.
        path: See :func:`read_weights`.
        recipe: Likewise.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if it is unreadable, or does not fit this model.
    """
    state = read_weights(role, path, recipe)
    problem = mismatch(model, state)
    if problem:
        raise RuntimeError(f"checkpoint '{path}' does not fit the {role}: {problem}")
    model.load_state_dict(state, strict=True)


def checkpoint_name(checkpoint: Any) -> str:
    """The name of a frozen teacher's checkpoint.

    Raises:
        ValueError: if there is none, or it is no name.
    """
    if not checkpoint:
        raise ValueError(
            "a frozen teacher needs its checkpoint, or 'random' for one that knows "
            'nothing; without any it can but learn, by mutual=True'
        )
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise ValueError(
            f'a checkpoint is the name of a file or of a folder, got {checkpoint!r}'
        )
    return os.fspath(checkpoint)


def read_weights(role: str, path: str, recipe: str = '') -> dict[str, torch.Tensor]:
    """The recognizer's state dict in a checkpoint of tensors and plain types.

    Training-only parts of a distillation checkpoint (``distill.``) are left out, so a
    distilled student can be the next teacher.

    Args:
        role: Whose it is, for messages.
        path: A file; a run's folder, for its best or else its last checkpoint; or an
            ``https://`` address as in the model zoo.
        recipe: The command that makes the file, shown if it is missing.

    Raises:
        FileNotFoundError: if there is no such file.
        RuntimeError: if it is unreadable.
    """
    if path.startswith(('http://', 'https://')):
        try:
            checkpoint = torch.hub.load_state_dict_from_url(
                path, map_location='cpu', weights_only=True
            )
        except Exception as error:
            raise RuntimeError(
                f"checkpoint '{path}' of the {role} cannot be fetched or read in safe "
                f'mode: {reading_problem(error)}'
            ) from error
    else:
        found = find_checkpoint(path)
        if found is None:
            hint = f'; make it with: {as_typed_here(recipe)}' if recipe else ''
            raise FileNotFoundError(not_found(path, f' of the {role}') + hint)
        if found != os.path.expanduser(path):
            _tell_choice(role, path, found)
        checkpoint = read_checkpoint(found)
    return plain_state(checkpoint)


def _tell_choice(role: str, folder: str, chosen: str) -> None:
    """Log which file of a folder is read, and warn if several metrics have a best."""
    metrics = {
        re.sub(r'_(epoch|iter)_\d+$', '', file.stem)
        for file in Path(chosen).parent.glob('best_*.pth')
    }
    print_log(f'{role} reads {chosen}', logger='current')
    if len(metrics) > 1:
        print_log(
            f"folder '{folder}' of the {role} has the best of several metrics "
            f'({", ".join(sorted(metrics))}), and the newest file is read; name a file '
            'to choose another',
            logger='current',
            level=logging.WARNING,
        )


def find_checkpoint(path: str, best: bool = True) -> Optional[str]:
    """The checkpoint file that ``path`` stands for, None if there is none.

    A folder stands for its best checkpoint, or for its last one if no best was saved or
    ``best`` is False. ``~`` is the home folder.
    """
    path = os.path.expanduser(path)
    if Path(path).is_file():
        return path
    files = sorted(Path(path).glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    if best and files:
        return str(files[-1])
    pointer = Path(path, 'last_checkpoint')
    if pointer.is_file():
        last = Path(pointer.read_text())
        # the pointer is absolute, and the folder may have been moved
        for file in (Path(path, last.name), last):
            if file.is_file():
                return str(file)
    return None


def not_found(path: str, whose: str = '', best: bool = True) -> str:
    """That :func:`find_checkpoint` finds nothing, in words.

    Args:
        path: What was given to it.
        whose: Words that follow the path.
        best: Likewise.
    """
    if not Path(path).expanduser().is_dir():
        return f"checkpoint '{path}'{whose} is missing"
    wanted = 'a file that last_checkpoint names'
    wanted = f'best_*.pth or {wanted}' if best else wanted
    return f"folder '{path}'{whose} has no checkpoint, expected {wanted}"


def read_checkpoint(path: str) -> Any:
    """Read a checkpoint file in safe mode.

    Raises:
        RuntimeError: if it is corrupt, holds more than tensors and plain types, or no
            state dict.
    """
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"checkpoint '{path}' cannot be read in safe mode: {reading_problem(error)}"
        ) from error
    is_dict = isinstance(checkpoint, Mapping)
    state = checkpoint.get('state_dict', checkpoint) if is_dict else checkpoint
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise RuntimeError(
            f"checkpoint '{path}' holds no state dict, but a {type(state).__name__}"
        )
    return checkpoint


def plain_state(
    checkpoint: Mapping[str, Any], training: bool = False
) -> dict[str, torch.Tensor]:
    """The recognizer's own entries of a checkpoint, without DDP's prefix.

    Args:
        checkpoint: As loaded: a state dict, or a dict that holds one.
        training: Keep the training-only parts of a distiller (``distill.``) too.
    """
    state = checkpoint.get('state_dict', checkpoint)
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    return {key: state[key] for key in state if _counts(key, training)}


def mismatch(
    model: nn.Module, state: Mapping[str, torch.Tensor], training: bool = False
) -> str:
    """Why ``state`` does not fit the model, in words; empty if it fits.

    Args:
        model: The model that is to load it.
        state: From :func:`plain_state`.
        training: Compare the training-only parts of a distiller too.
    """
    own = model.state_dict()
    own = {key: own[key] for key in own if _counts(key, training)}
    problems = []
    missing = [key for key in own if key not in state]
    foreign = [key for key in state if key not in own]
    resized = [k for k in own if k in state and own[k].shape != state[k].shape]
    if missing:
        problems.append(f'{len(missing)} of {len(own)} keys missing (as {missing[0]})')
    if foreign:
        problems.append(f'{len(foreign)} unknown keys (as {foreign[0]})')
    if resized:
        key = resized[0]
        problems.append(
            f'{len(resized)} of another shape ({key}: checkpoint '
            f'{tuple(state[key].shape)}, model {tuple(own[key].shape)})'
        )
    return ', '.join(problems)


def _counts(key: str, training: bool) -> bool:
    """Whether an entry is the recognizer's or, with ``training``, a distiller's."""
    # a copy of fc_cls that TPNHead makes in its first test
    copied = 'cls_head.new_cls.' in key
    return not copied and (training or not key.startswith('distill.'))
