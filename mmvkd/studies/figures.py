"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any, Optional

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvkd.studies.summary import ClassGroup, Row, Table, class_groups
from mmvkd.visualization.curves import Curve, draw_curve
from mmvkd.visualization.pictures import COLORS, WIDTH, Draw

# one for as many rows as there are colors, then the next
_LINES = ('-', '--', ':')
_FILLS = ('full', 'none', 'left')
_ROW = 0.24  # inches per class


def pictures(table: Table, results: Mapping[str, Any]) -> dict[str, tuple[str, Draw]]:
    """What can be drawn of a table: caption and drawing function by short name."""
    found: dict[str, tuple[str, Draw]] = {}
    rows = [row for row in table.rows if row.scores]
    if not rows:
        return found
    colors = row_colors(table.rows)
    found['accuracy'] = (
        'Test accuracy: a dot for each seed, a bar at the mean.',
        lambda figure: _scores(figure, rows, colors),
    )
    if any(row.curves for row in rows):
        found['curves'] = (
            f'Validation accuracy over {_unit(rows)}s, mean of the seeds; the band is '
            'from the least to the greatest.',
            lambda figure: _curves(figure, rows, colors),
        )
    if any(row.parameters for row in rows):
        found['cost'] = (
            'Accuracy against operations, parameters and CPU time of one view.',
            lambda figure: _cost(figure, rows, colors),
        )
    if table.gains:
        found['classes'] = (
            'Gain over the student alone in each class, in points. Reversal pairs are '
            'classes that only the order of frames tells apart.',
            lambda figure: _gains(figure, table, results),
        )
    return found


def row_colors(rows: Sequence[Row]) -> dict[str, str]:
    """A color for each row, the same in all pictures."""
    return {row.name: COLORS[i % len(COLORS)] for i, row in enumerate(rows)}


def _cycle(row: Row, colors: Mapping[str, str]) -> int:
    """How many times all colors were used up before this row."""
    return list(colors).index(row.name) // len(COLORS)


def _scores(figure: Figure, rows: Sequence[Row], colors: Mapping[str, str]) -> None:
    titles = [fill(row.title, 28) for row in rows]
    each = 0.4 if any('\n' in title for title in titles) else 0.3
    figure.set_size_inches(WIDTH, 0.7 + each * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        values = [100 * score for score in row.scores.values()]
        color = colors[row.name]
        axes.plot(values, [place] * len(values), 'o', color=color, ms=5, alpha=0.6)
        axes.plot([100 * row.mean] * 2, [place - 0.3, place + 0.3], color=color, lw=2.5)
    axes.set_yticks(range(len(rows)), titles)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis='y', visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel('test accuracy, %')


def _curves(figure: Figure, rows: Sequence[Row], colors: Mapping[str, str]) -> None:
    shown = [row for row in rows if any(row.curves.values())]
    figure.set_size_inches(WIDTH, 2.7 + 0.18 * ((len(shown) + 1) // 2))
    axes = figure.add_subplot()
    unit = _unit(shown)
    for row in shown:
        found: dict[int, list[float]] = {}
        for curve in row.curves.values():
            for point in curve:
                found.setdefault(getattr(point, unit), []).append(100 * point.score)
        places = sorted(found)
        means: Curve = {place: float(np.mean(found[place])) for place in places}
        line = _LINES[_cycle(row, colors) % len(_LINES)]
        draw_curve(axes, means, ls=line, color=colors[row.name], label=row.title)
        axes.fill_between(
            places,
            [min(found[place]) for place in places],
            [max(found[place]) for place in places],
            color=colors[row.name],
            alpha=0.12,
            lw=0,
        )
    axes.set_xlabel(unit)
    axes.set_ylabel('validation accuracy, %')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure)


def _unit(rows: Sequence[Row]) -> str:
    """What curves are drawn over: steps where epochs differ in their length."""
    points = [p for row in rows for curve in row.curves.values() for p in curve]
    lengths = {point.step and point.step // point.epoch for point in points}
    return 'step' if None not in lengths and len(lengths) > 1 else 'epoch'


def _legend(figure: Figure) -> None:
    """Put the legend below the axes, in two columns if they fit."""
    labels = figure.axes[0].get_legend_handles_labels()[1]
    columns = 1 if max(map(len, labels), default=0) > 22 else 2
    # an inch of height for five more rows
    figure.set_figheight(figure.get_figheight() + (2 - columns) * len(labels) / 10)
    figure.legend(loc='outside lower center', ncols=columns, fontsize=8.5)


def _cost(figure: Figure, rows: Sequence[Row], colors: Mapping[str, str]) -> None:
    panels: list[tuple[str, Callable[[Row], Optional[float]]]] = [
        ('GFLOPs (multiply-adds)', lambda row: row.gflops),
        ('million parameters', lambda row: row.parameters and row.parameters / 1e6),
        ('CPU milliseconds', lambda row: row.latency),
    ]
    panels = [(label, of) for label, of in panels if any(of(row) for row in rows)]
    legend = 0.18 * ((len(rows) + 1) // 2)
    figure.set_size_inches(WIDTH, 1.75 * len(panels) + legend)
    for place, (label, of) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, place + 1)
        for row in rows:
            x = of(row)
            if x:
                axes.plot(
                    [x],
                    [100 * row.mean],
                    '^' if row.kind == 'teacher' else 'o',
                    color=colors[row.name],
                    fillstyle=_FILLS[_cycle(row, colors) % len(_FILLS)],
                    label=row.title if place == 0 else None,
                    ms=7,
                    alpha=0.8,
                )
        axes.set_xlim(left=0)
        axes.margins(0.12)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.set_ylabel('accuracy, %')
    _legend(figure)


def _gains(figure: Figure, table: Table, results: Mapping[str, Any]) -> None:
    # [classes, methods]
    gains = np.stack(list(table.gains.values()), axis=1)
    limit = max(0.1, float(np.nanmax(np.abs(gains))))
    groups = class_groups(results, len(gains))
    rows = [sum(map(len, group.units)) for group in groups]
    titles = {row.name: row.title for row in table.rows}
    above = [titles[method] for method in table.gains]
    # many titles, and long ones, stand upright, each over a column that holds a number
    upright = len(above) > 8 or max(map(len, above)) > 30
    width = 1.9 + 0.27 * len(above) if upright else WIDTH
    head = 0.07 * max(map(len, above)) if upright else 1.0
    figure.set_size_inches(width, head + _ROW * sum(rows) + 0.3 * len(groups))
    grid = figure.add_gridspec(len(groups), 1, height_ratios=rows)
    for place, group in enumerate(groups):
        axes = figure.add_subplot(grid[place])
        _gains_of_group(axes, group, gains, limit)
        if place == 0:
            turned = dict(rotation=90) if upright else dict(rotation=45, ha='left')
            axes.set_xticks(range(len(above)), above, **turned)
            axes.xaxis.tick_top()
            axes.tick_params(length=0)


def _gains_of_group(
    axes: Axes, group: ClassGroup, gains: np.ndarray, limit: float
) -> None:
    """A table of colored numbers: a row for each class, a column for each method."""
    classes = [each for unit in group.units for each in unit]
    values = gains[[label for _, label in classes]]
    axes.imshow(_tint(values / limit), aspect='auto', interpolation='nearest')
    for (y, x), value in np.ndenumerate(values):
        if value == value:
            text = f'{round(100 * value):+d}'.replace('-', '−')
            axes.text(x, y, text, ha='center', va='center', fontsize=7.5)
    names = [name.replace('_', ' ') for name, _ in classes]
    axes.set_yticks(range(len(classes)), names, fontsize=8)
    for end in np.cumsum([len(unit) for unit in group.units])[:-1]:
        axes.axhline(end - 0.5, color=matplotlib.rcParams['grid.color'], lw=0.8)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if _ROW * len(classes) > 0.065 * len(group.title):  # inches available, and needed
        axes.set_ylabel(group.title, fontsize=8)
    axes.set_xticks([])


def _tint(values: np.ndarray) -> np.ndarray:
    """Blue for gain, orange for loss; as strong as the value, in [−1, 1]."""
    image = np.zeros((*values.shape, 4))
    known = np.nan_to_num(values)
    image[..., :3] = np.where(
        known[..., None] >= 0, (0.06, 0.54, 0.79), (0.88, 0.42, 0.17)
    )
    image[..., 3] = 0.75 * np.clip(np.abs(known), 0, 1)
    return image
