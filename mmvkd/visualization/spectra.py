"""A picture of the spectra of students and teacher, and of the learned scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from mmvkd.evaluation.fidelity import BEFORE, MEASURES, Fidelity, Stage
from mmvkd.visualization.curves import Curve, draw_curve, logged_curves
from mmvkd.visualization.pictures import COLORS, GRAY

_SCALE = 'scale_'


def read_scales(folder: Path) -> dict[str, Curve]:
    """Scales of an :class:`~mmvkd.models.balancers.UncertaintyBalancer` in a run's log.

    What a resumed run logged again counts once.

    Args:
        folder: The run's ``work_dir``.

    Returns:
        A curve for each term; empty if there is no log or no such balancer.
    """
    return {
        name.removeprefix(_SCALE): curve
        for name, curve in logged_curves(folder).items()
        if name.startswith(_SCALE)
    }


def table(fidelity: Fidelity) -> str:
    """The distances, a line for each stage and student."""
    blocks = {name: stage.distances for name, stage in fidelity.stages.items()}
    blocks['mean'] = fidelity.mean()
    wide = max(map(len, [*blocks, 'stage'])), max(map(len, fidelity.students))
    lines = [f'{"stage":{wide[0]}}  {"student":{wide[1]}}  ' + _cells(MEASURES)]
    for block, students in blocks.items():
        for name, distances in students.items():
            values = [f'{distances[m]:.3g}' if m in distances else '' for m in MEASURES]
            lines.append(f'{block:{wide[0]}}  {name:{wide[1]}}  ' + _cells(values))
    return '\n'.join(line.rstrip() for line in lines)


def _cells(values: Sequence[str]) -> str:
    return '  '.join(f'{value:>9}' for value in values)


def draw_spectra(
    figure: Figure, fidelity: Fidelity, scales: Mapping[str, Curve]
) -> None:
    """Draw each stage's spectra and distances, and the scales below.

    Distances are relative to that of the student before training.

    Args:
        figure: To draw on; its size is set.
        fidelity: At least one stage.
        scales: By term; may be empty.
    """
    heights = [1.75] * len(fidelity.stages) + [2.0] * bool(scales)
    figure.set_size_inches(7.2, sum(heights) + 0.6)
    grid = figure.add_gridspec(
        len(heights), 3, height_ratios=heights, width_ratios=(1.2, 1, 1)
    )
    styles = _styles(fidelity)
    for row, (name, stage) in enumerate(fidelity.stages.items()):
        temporal, spatial, distances = (
            figure.add_subplot(grid[row, column]) for column in range(3)
        )
        _draw_temporal(temporal, stage, styles)
        _draw_kernels(spatial, stage, styles)
        _draw_distances(distances, stage, styles)
        temporal.set_ylabel(f'{name}\n% of motion')
        if row == 0:
            temporal.set_title('features over time', size=9)
            spatial.set_title('kernels, flat = 1', size=9)
            distances.set_title(f'distance to {fidelity.teacher}', size=9)
            figure.legend(
                *temporal.get_legend_handles_labels(),
                loc='outside upper center',
                ncols=min(4, len(styles)),
                fontsize=8.5,
            )
    temporal.set_xlabel('mean, % of all  |  cycles in a clip')
    distances.set_xlabel(f'{BEFORE} = 1')
    spatial.set_xlabel('spatial frequency, u + v')
    if scales:
        _draw_scales(figure.add_subplot(grid[-1, :2]), scales)


def _styles(fidelity: Fidelity) -> dict[str, dict]:
    """How each model is drawn: the teacher as a broad band behind the others."""
    styles: dict[str, dict] = {
        fidelity.teacher: dict(color=GRAY, lw=5, alpha=0.45, ms=0),
        BEFORE: dict(color=GRAY, ls=':', lw=1.3, marker='o', ms=2.5),
    }
    after = [name for name in fidelity.students if name != BEFORE]
    for i, name in enumerate(after):
        color = COLORS[i % len(COLORS)]
        styles[name] = dict(color=color, lw=1.3, marker='o', ms=3.5, alpha=0.9)
    return styles


def _draw_temporal(axes: Axes, stage: Stage, styles: Mapping[str, dict]) -> None:
    """Bands as curves; the mean, whose share is of all energy, apart."""
    for name, style in styles.items():
        mean, *bands = (100 * share for share in stage.temporal[name])
        axes.plot(range(1, len(bands) + 1), bands, label=name, **style)
        dot = dict(style, marker='o', ms=max(style['ms'], 3.5), ls='')
        if not style['ms']:
            dot['ms'] = 9
        axes.plot([0], [mean], **dot)
    count = len(bands)
    ticks = range(1, count + 1, -(-count // 8))
    axes.axvline(0.5, color=GRAY, lw=0.6)
    axes.set_xticks([0, *ticks], ['mean', *map(str, ticks)])
    axes.set_xlim(-0.5, count + 0.3)
    axes.set_ylim(bottom=0)


def _draw_kernels(axes: Axes, stage: Stage, styles: Mapping[str, dict]) -> None:
    """Energy by the sum of both frequencies, in units of a flat spectrum."""
    if not stage.kernels:
        axes.axis('off')
        return
    for name, style in styles.items():
        shares = np.array(stage.kernels[name])
        size = round(len(shares) ** 0.5)
        order = np.add.outer(np.arange(size), np.arange(size)).ravel()
        mean = np.bincount(order, shares) / np.bincount(order) * size**2
        axes.plot(mean, **style)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.15 * axes.dataLim.y1)


def _draw_distances(axes: Axes, stage: Stage, styles: Mapping[str, dict]) -> None:
    """A dot for each student and measure, none where there is no distance."""
    axes.axvline(1, color=GRAY, ls=':', lw=1.3)
    for name, distances in stage.distances.items():
        if name == BEFORE:
            continue
        before = stage.distances[BEFORE]
        units = {m: d / before[m] for m, d in distances.items() if before[m] > 0 < d}
        places = [MEASURES.index(measure) for measure in units]
        axes.plot(list(units.values()), places, **dict(styles[name], ls='', ms=6))
    axes.set_yticks(range(len(MEASURES)), MEASURES, size=8)
    axes.set_ylim(len(MEASURES) - 0.5, -0.5)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
    axes.grid(axis='y', visible=False)


def _draw_scales(axes: Axes, scales: Mapping[str, Curve]) -> None:
    for i, (term, curve) in enumerate(scales.items()):
        color = COLORS[(i + 4) % len(COLORS)]
        draw_curve(axes, curve, color=color, label=term.replace('_', ' '), lw=1.3)
    axes.set_xlabel('iteration')
    axes.set_ylabel('learned scale s')
    # in the free space beside it, which takes no width from the columns
    legend = axes.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.02, 1))
    legend.set_in_layout(False)
