"""A picture of how the cost of a step grows with teachers, frames and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from mmvkd.evaluation.growth import Point
from mmvkd.visualization.pictures import COLORS


def draw_growth(figure: Figure, found: Mapping[str, Sequence[Point]]) -> None:
    """Draw a panel for each axis; the band of a line is between the quartiles.

    Args:
        figure: To draw on; its size is set.
        found: The points of each axis.
    """
    rows = (len(found) + 1) // 2
    columns = min(2, len(found))
    figure.set_size_inches(3.6 * columns, 2.6 * rows + 0.4)
    for place, (axis, points) in enumerate(found.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        values = [point.value for point in points]
        series = [point.series() for point in points]
        for color, name in zip(COLORS, series[0]):
            spreads = [each[name] for each in series]
            axes.plot(
                values,
                [spread.median for spread in spreads],
                '--' if name == points[0].parts else '-',
                marker='o',
                ms=4,
                color=color,
                label=name if place == 0 else None,
            )
            axes.fill_between(
                values,
                [spread.lower for spread in spreads],
                [spread.upper for spread in spreads],
                color=color,
                alpha=0.15,
                lw=0,
            )
        axes.set_xscale('log')
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axis)
        axes.set_ylabel('seconds a step')
    figure.legend(loc='outside lower center', ncols=2, fontsize=8.5)
