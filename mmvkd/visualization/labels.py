"""How labels changed: which class became which, and how often they are right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmvkd.refined_labels import classes
from mmvkd.visualization.pictures import COLORS


def transitions(rows: Tensor, columns: Tensor, num_classes: int) -> np.ndarray:
    """Count which labels became which.

    Args:
        rows: (n,) classes before, −1 for none.
        columns: (n,) classes after, likewise.
        num_classes: M.

    Returns:
        (M + 1, M + 1) counts; the last row and column are for no label.
    """
    # −1 becomes the last one
    pairs = rows % (num_classes + 1) * (num_classes + 1) + columns % (num_classes + 1)
    counts = torch.bincount(pairs, minlength=(num_classes + 1) ** 2)
    return counts.view(num_classes + 1, -1).numpy()


def draw_labels(figure: Figure, state: Mapping[str, Any]) -> None:
    """Draw a checkpoint's labels.

    Where the truth is known: true class against given label, true class against
    refined label, and the share of right labels over the epochs. Otherwise: given
    against refined label, and how many labels came or moved in each epoch.

    Args:
        figure: To draw on; its size is set.
        state: See :func:`mmvkd.refined_labels.read_labels`.
    """
    refined, given, clean = classes(state), state['given'], state['clean']
    m = state['soft'].shape[1]
    known = bool((clean >= 0).any())
    if known:
        panels = [
            ('true', 'given', clean, given),
            ('true', 'refined', clean, refined),
        ]
    else:
        panels = [('given', 'refined', given, refined)]
    figure.set_size_inches(4.3, 2.4 + 3.9 * len(panels))
    grid = figure.add_gridspec(
        len(panels) + 1, 1, height_ratios=[3.9] * len(panels) + [2.4]
    )
    for place, (from_name, to_name, rows, columns) in enumerate(panels):
        axes = figure.add_subplot(grid[place])
        _matrix(axes, transitions(rows, columns, m), (from_name, to_name))
    _history(figure.add_subplot(grid[len(panels)]), state['history'], known)


def _matrix(axes: Axes, counts: np.ndarray, names: tuple[str, str]) -> None:
    """Shares of each row, as tints; numbers where there is room."""
    labels = [*map(str, range(len(counts) - 1)), 'none']
    # no label counts as a class only where it occurs
    if not counts[-1].any():
        counts = counts[:-1]
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = np.zeros((*shares.shape, 4))
    image[..., :3] = to_rgb(COLORS[0])
    image[..., 3] = shares
    axes.imshow(image, aspect='auto', interpolation='nearest')
    for set_ticks, count, most in (
        (axes.set_yticks, counts.shape[0], 20),
        (axes.set_xticks, counts.shape[1], 20 if len(labels) <= 100 else 10),
    ):
        places = range(0, count, -(-count // most))
        set_ticks(places, [labels[i] for i in places], fontsize=7.5)
    if counts.shape[1] <= 16:
        for (y, x), share in np.ndenumerate(shares):
            if share >= 0.005:
                text = f'{100 * share:.0f}'
                axes.text(x, y, text, ha='center', va='center', fontsize=7)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_ylabel(f'{names[0]} class')
    axes.set_xlabel(f'{names[1]} label, % of the row')


def _history(axes: Axes, history: Sequence[Mapping[str, Any]], known: bool) -> None:
    epochs = [entry['epoch'] for entry in history]
    if known:
        shares = [entry['accuracy'] for entry in history]  # None: of no label known
        values = [math.nan if share is None else 100 * share for share in shares]
        axes.set_ylabel('right, % of the labels there')
    else:
        values = [entry['moved'] for entry in history]
        axes.set_ylabel('labels that moved')
    axes.plot(epochs, values, color=COLORS[0], marker='o', ms=4)
    axes.set_xlabel('epoch')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
