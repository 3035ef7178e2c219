"""The labels that a run refined: kept in checkpoints, written as annotation files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor

from mmvkd.datasets import SeededDataset
from mmvkd.datasets.annotations import clip_name
from mmvkd.files import replacing, write_text
from mmvkd.models.checkpoints import read_checkpoint

LABELS = 'mmvkd_labels'
"""Key of a checkpoint: ``soft`` (n, M) and ``known`` (n,), the labels; ``given`` (n,)
and ``clean`` (n,), −1 where there is none or it is not known; ``lines``, the fields
of the annotation list but for labels; its ``delimiter``; ``history``, by epoch."""


def list_lines(dataset: SeededDataset) -> dict[str, Any]:
    """The lines of an annotation list, without labels, and their delimiter.

    Args:
        dataset: A data set of videos, or of folders of frames.
    """
    source = dataset.dataset
    delimiter = getattr(source, 'delimiter', ' ')
    folders = [f'{folder.rstrip("/")}/' for folder in source.data_prefix.values()]
    lines = []
    for index in range(len(source)):
        info = source.get_data_info(index)
        name = clip_name(info)
        for folder in folders:
            if folder != '/' and name.startswith(folder):
                name = name[len(folder) :]
        counts = [info[key] for key in ('offset', 'total_frames') if key in info]
        lines.append(delimiter.join([name, *map(str, counts)]))
    return dict(lines=lines, delimiter=delimiter)


def read_labels(checkpoint: str) -> dict[str, Any]:
    """The labels of a checkpoint, as described at :data:`LABELS`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no labels.
    """
    if not Path(checkpoint).is_file():
        lost = 'a folder; name a .pth in it' if Path(checkpoint).is_dir() else 'missing'
        raise FileNotFoundError(f"checkpoint '{checkpoint}' is {lost}")
    found = read_checkpoint(checkpoint).get(LABELS)
    if found is None:
        raise ValueError(
            f"checkpoint '{checkpoint}' has no labels; they are in those of a run with "
            "dict(type='mmvkd.PseudoLabelHook') among its custom_hooks"
        )
    return found


def classes(state: Mapping[str, Any]) -> Tensor:
    """(n,) the most likely class of each clip, −1 for those without a label."""
    return torch.where(state['known'], state['soft'].argmax(1), -1)


def accuracy(state: Mapping[str, Any]) -> Optional[float]:
    """Share of the labels that are right; None if no true label is known."""
    refined = classes(state)
    judged = (refined >= 0) & (state['clean'] >= 0)
    if not judged.any():
        return None
    return float((refined == state['clean'])[judged].double().mean())


def export_labels(state: Mapping[str, Any], out: str) -> Path:
    """Write an ordinary annotation file, and beside it a table with confidences.

    Args:
        state: See :func:`read_labels`.
        out: The annotation file: the list that was trained on, clip by clip, with
            refined labels; −1 where there is none.

    Returns:
        The table, ``.csv`` in place of the file's extension: clip, given and refined
        label, and the probability of the latter.

    Raises:
        ValueError: if ``out`` is the name of the table.
    """
    table = Path(out).with_suffix('.csv')
    if table == Path(out):
        raise ValueError(
            f"'{out}' is to be an annotation file, and its table ends with .csv; give "
            'it another extension, such as .txt'
        )
    refined = classes(state).tolist()
    delimiter = state['delimiter']
    text = [f'{line}{delimiter}{c}\n' for line, c in zip(state['lines'], refined)]
    write_text(Path(out), ''.join(text))
    with replacing(table) as path, path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['clip', 'given', 'refined', 'confidence'])
        names = [line.split(delimiter)[0] for line in state['lines']]
        sure = [f'{value:.4f}' for value in state['soft'].amax(1).tolist()]
        writer.writerows(zip(names, state['given'].tolist(), refined, sure))
    return table
