"""A picture of the teachers' graph: its edges now, over training, and by class."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmvkd.models.checkpoints import find_checkpoint, plain_state, read_checkpoint
from mmvkd.visualization.curves import Curve, draw_curve, logged_curves, needed_logs
from mmvkd.visualization.pictures import COLORS, GRAY

_LOGGED = re.compile(r'(?P<head>[^/]+?)_(?P<kind>trust|edge)_(?P<name>.+)')
_STUDENT = 'student'
_MOST_NAMES = 60  # that can be read beside each other


@dataclass
class Graph:
    """The edges that one head logged.

    Args:
        head: Its name in the config.
        trust: Weight of each teacher's edge to the student.
        pairs: Weight of each pair of teachers.
        by_class: Trust (K, M) in each teacher on clips of each class, an equal share
            where none has been seen yet; None for uniform edges.
    """

    head: str
    trust: dict[str, Curve] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Curve] = field(default_factory=dict)
    by_class: Optional[np.ndarray] = None

    @property
    def teachers(self) -> list[str]:
        """Names of the vertices."""
        return list(dict.fromkeys([*self.trust, *(t for p in self.pairs for t in p)]))

    def curves(self) -> dict[str, Curve]:
        """All edges by name."""
        pairs = {' – '.join(pair): curve for pair, curve in self.pairs.items()}
        return {**self.trust, **pairs}


def read_graphs(folder: Path) -> list[Graph]:
    """The graphs of a run, in the order of their heads' names.

    The trust by class is that of the checkpoint which stands for the run: the best one,
    or the last.

    Args:
        folder: The run's ``work_dir``.

    Raises:
        FileNotFoundError: if the run has no log, or no graph in it.
    """
    needed_logs(folder)
    path = find_checkpoint(str(folder))
    state = plain_state(read_checkpoint(path), training=True) if path else {}
    graphs = logged_graphs(folder, state)
    if not graphs:
        raise FileNotFoundError(
            f"the log of '{folder}' has no edges; a run logs them whose heads are a "
            'LogitsGraphHead or a RepresentationGraphHead'
        )
    return graphs


def logged_graphs(folder: Path, state: Mapping[str, Tensor]) -> list[Graph]:
    """The graphs in a run's log; empty if there are none.

    What a resumed run logged again counts once.

    Args:
        folder: The run's ``work_dir``.
        state: Tensors of the distiller by name, for the trust by class.
    """
    found: dict[str, Graph] = {}
    for key, curve in logged_curves(folder).items():
        match = _LOGGED.fullmatch(key)
        if match is None:
            continue
        head, kind, name = match.group('head', 'kind', 'name')
        graph = found.setdefault(head, Graph(head))
        if kind == 'trust':
            graph.trust[name] = curve
        elif name.count('+') == 1:
            first, second = name.split('+')
            graph.pairs[first, second] = curve
    for head, graph in found.items():
        trust = state.get(f'distill.heads.{head}.trust_by_class')
        if trust is not None:
            graph.by_class = trust.cpu().numpy()
    return [found[head] for head in sorted(found)]


def draw_graph(
    figure: Figure, graphs: Sequence[Graph], classes: Optional[Sequence[str]] = None
) -> None:
    """Draw each graph's last edges and their curves, and the trust by class.

    Args:
        figure: To draw on; its height is set.
        graphs: At least one.
        classes: Names, for the trust by class; numbers if None.

    Raises:
        ValueError: if there are more or fewer names than classes.
    """
    tables = [(g, g.by_class) for g in graphs if g.by_class is not None]
    for _, trust in tables:
        if classes is not None and len(classes) != trust.shape[1]:
            raise ValueError(
                f'{len(classes)} names of classes; the graph has {trust.shape[1]}'
            )
    heights = [2.4] * len(graphs) + [1.3 + 0.22 * len(trust) for _, trust in tables]
    figure.set_size_inches(7.2, sum(heights))
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for row, graph in enumerate(graphs):
        _draw_vertices(figure.add_subplot(grid[row, 0]), graph)
        _draw_curves(figure.add_subplot(grid[row, 1]), graph)
    for row, (graph, trust) in enumerate(tables, start=len(graphs)):
        _draw_classes(figure.add_subplot(grid[row, :]), graph, trust, classes)


def _last(curve: Curve) -> float:
    return curve[max(curve)]


def _colors(graph: Graph) -> dict[str, str]:
    return {t: COLORS[i % len(COLORS)] for i, t in enumerate(graph.curves())}


def _draw_vertices(axes: Axes, graph: Graph) -> None:
    """Teachers around the student; an edge is as wide as its weight."""
    count, colors = len(graph.teachers), _colors(graph)
    places = {
        name: (
            math.sin(2 * math.pi * (k + 0.5) / count),
            math.cos(2 * math.pi * (k + 0.5) / count),
        )
        for k, name in enumerate(graph.teachers)
    }
    # off the line between two teachers
    places[_STUDENT] = (0.0, -0.8 if count == 2 else 0.0)
    edges = [((t, _STUDENT), c, colors[t]) for t, c in graph.trust.items()]
    edges += [(p, c, colors[' – '.join(p)]) for p, c in graph.pairs.items()]
    for (first, second), curve, color in edges:
        weight = _last(curve)
        ends = np.array([places[first], places[second]])
        axes.plot(*ends.T, color=color, lw=0.5 + 9 * weight, alpha=0.6, zorder=1)
        # nearer to the first, off the points where edges of up to five cross
        x, y = 0.68 * ends[0] + 0.32 * ends[1]
        axes.annotate(
            f'{weight:.2f}', (x, y), ha='center', va='center', size=7.5, zorder=3
        )
    for name in graph.teachers:
        x, y = places[name]
        axes.plot(x, y, 'o', ms=11, color=colors.get(name, GRAY), zorder=2)
        side = 'center' if abs(x) < 0.1 else 'left' if x > 0 else 'right'
        axes.annotate(name, (1.2 * x, 1.25 * y), ha=side, va='center', size=8)
    if graph.trust:
        x, y = places[_STUDENT]
        axes.plot(x, y, 'o', ms=11, color=GRAY, zorder=2)
        # between two edges, on the right where there are two
        way = 2 * math.pi * math.floor(count / 4 + 0.5) / count
        side = 'left' if math.sin(way) > 0.1 else 'center'
        x, y = x + 0.16 * math.sin(way), y + 0.25 * math.cos(way)
        axes.annotate(_STUDENT, (x, y), ha=side, va='center', size=8)
    axes.set_title(graph.head.replace('_', ' '), size=9)
    axes.set_aspect('equal')
    axes.set_xlim(-2.4, 2.4)
    axes.set_ylim(-1.4, 1.4)
    axes.axis('off')


def _draw_curves(axes: Axes, graph: Graph) -> None:
    for name, curve in graph.curves().items():
        draw_curve(axes, curve, color=_colors(graph)[name], label=name, lw=1.3)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel('iteration')
    axes.set_ylabel('weight of the edge')
    axes.legend(fontsize=7, loc='upper left', framealpha=0, labelspacing=0.15)


def _draw_classes(
    axes: Axes, graph: Graph, trust: np.ndarray, classes: Optional[Sequence[str]]
) -> None:
    count = trust.shape[1]
    axes.imshow(
        trust, aspect='auto', cmap='Blues', vmin=0, vmax=1, interpolation='nearest'
    )
    axes.set_yticks(range(len(graph.trust)), list(graph.trust))
    if classes is not None:
        step = -(-count // _MOST_NAMES)
        axes.set_xticks(range(0, count, step), classes[::step], rotation=90, size=7)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel('class of the clip')
    axes.set_title(f'{graph.head.replace("_", " ")}: trust by class, 0 to 1', size=9)
    axes.grid(visible=False)
