"""A cascade on a time line: phases, accuracy and how far the substages differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from mmengine.config import Config

from mmvkd.engine.phases import lengths_of
from mmvkd.files import read_lines, run_logs
from mmvkd.visualization.pictures import COLORS

Curve = list[tuple[float, float]]
"""Points of (epochs done, value)."""


@dataclass(frozen=True)
class TimeLine:
    """What a run's log tells.

    Args:
        phases: Name and epochs of each.
        accuracy: Top-1 on the validation list.
        distances: Smoothed distance of the distributions, by substage.
    """

    phases: Sequence[tuple[str, int]]
    accuracy: Curve = field(default_factory=list)
    distances: dict[str, Curve] = field(default_factory=dict)


def read_time_line(folder: str) -> TimeLine:
    """Read the log of a run, and of those that went on with it.

    Args:
        folder: The run's ``work_dir``.

    Raises:
        FileNotFoundError: if no run has written there.
        ValueError: if it was no cascade.
    """
    logs = run_logs(Path(folder))
    if not logs:
        raise FileNotFoundError(
            f"'{folder}' has no log such as 2025…/vis_data/scalars.json; name the "
            "work_dir of a run whose vis_backends have a 'LocalVisBackend'"
        )
    config = Config.fromfile(logs[-1].with_name('config.py'))
    hooks: list[Any] = [*config.get('default_hooks', {}).values()]
    hooks += config.get('custom_hooks') or []
    cascades = [h for h in hooks if h and str(h['type']).endswith('CascadeHook')]
    if not cascades:
        raise ValueError(f"the run in '{folder}' has no CascadeHook")
    phases = cascades[0]['phases']
    lengths = lengths_of(phases, config.train_cfg.max_epochs)
    lines = [line for log in logs for line in read_lines(log)]
    # the last line of an epoch is that of its last iteration
    length = max((x['step'] / x['epoch'] for x in lines if x.get('epoch')), default=1)
    accuracy: dict[float, float] = {}
    distances: dict[str, dict[float, float]] = {}
    for line in lines:
        # what a resumed run says again replaces what was said before
        if 'acc/top1' in line:
            accuracy[line['step']] = line['acc/top1']
        for key, value in line.items():
            found = re.search(r'_distance_(.+)', key)
            if found:
                distances.setdefault(found[1], {})[line['step'] / length] = value
    return TimeLine(
        list(zip(phases, lengths)),
        sorted(accuracy.items()),
        {name: sorted(curve.items()) for name, curve in distances.items()},
    )


def draw_phases(figure: Figure, line: TimeLine) -> None:
    """Draw phases as bands, accuracy above, distances below."""
    top, bottom = figure.subplots(2, 1, sharex=True)
    begin = 0
    for i, (name, length) in enumerate(line.phases):
        for axes in (top, bottom):
            color = COLORS[i % len(COLORS)]
            axes.axvspan(begin, begin + length, color=color, alpha=0.12, lw=0)
        if length:
            place = dict(xytext=(2, 2), textcoords='offset points', fontsize=7)
            top.annotate(name, (begin, 1), xycoords=top.get_xaxis_transform(), **place)
        begin += length
    top.plot(*_axes(line.accuracy), color=COLORS[0], marker='o', ms=3)
    top.set_ylabel('accuracy')
    for i, (name, curve) in enumerate(line.distances.items()):
        color = COLORS[i % len(COLORS)]
        # one point is no line
        marker = 'o' if len(curve) == 1 else None
        bottom.plot(*_axes(curve), color=color, label=name, marker=marker, ms=3)
    bottom.set_ylabel('distance')
    bottom.set_xlabel('epoch')
    if line.distances:
        bottom.set_yscale('log')
        bottom.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bottom.yaxis.set_major_formatter('{x:g}')
        bottom.yaxis.set_minor_formatter(NullFormatter())
        beneath = dict(loc='lower center', bbox_to_anchor=(0.5, 1))
        bottom.legend(ncols=len(line.distances), fontsize=7, **beneath)


def _axes(curve: Curve) -> tuple[list[float], list[float]]:
    return [x for x, _ in curve], [y for _, y in curve]
