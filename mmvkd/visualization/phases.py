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

from mmvkd.phases import lengths_of
from mmvkd.registry import short_type
from mmvkd.run_logs import logged
from mmvkd.visualization.curves import Curve, draw_curve, needed_logs
from mmvkd.visualization.pictures import COLORS


@dataclass(frozen=True)
class TimeLine:
    """A run's phases, and what its log says of them.

    Args:
        phases: Name and epochs of each.
        accuracy: Top-1 on the validation list, by epochs done.
        distances: Smoothed distance of the distributions, likewise, by substage.
    """

    phases: Sequence[tuple[str, int]]
    accuracy: Curve = field(default_factory=dict)
    distances: dict[str, Curve] = field(default_factory=dict)


def read_time_line(folder: Path) -> TimeLine:
    """Read the log of a run, and of those that resumed it.

    Args:
        folder: The run's ``work_dir``.

    Raises:
        FileNotFoundError: if no run has written there.
        ValueError: if it was no cascade.
    """
    last = needed_logs(folder)[-1]
    config = Config.fromfile(last.with_name('config.py'))
    hooks: list[Any] = [*config.get('default_hooks', {}).values()]
    hooks += config.get('custom_hooks') or []
    cascades = [h for h in hooks if h and short_type(h['type']) == 'CascadeHook']
    if not cascades:
        raise ValueError(f"the run in '{folder}' has no CascadeHook")
    phases = cascades[0]['phases']
    lengths = lengths_of(phases, config.train_cfg.max_epochs)
    lines = list(logged(folder))
    # the last line of an epoch is that of its last iteration
    length = max((x['step'] / x['epoch'] for x in lines if x.get('epoch')), default=1)
    accuracy: Curve = {}
    distances: dict[str, Curve] = {}
    for line in lines:
        if 'acc/top1' in line:
            accuracy[line['step']] = line['acc/top1']
        for key, value in line.items():
            found = re.search(r'_distance_(.+)', key)
            if found:
                distances.setdefault(found[1], {})[line['step'] / length] = value
    return TimeLine(list(zip(phases, lengths)), accuracy, distances)


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
    draw_curve(top, line.accuracy, color=COLORS[0], marker='o', ms=3)
    top.set_ylabel('accuracy')
    for i, (name, curve) in enumerate(line.distances.items()):
        color = COLORS[i % len(COLORS)]
        draw_curve(bottom, curve, few=1, color=color, label=name, ms=3)
    bottom.set_ylabel('distance')
    bottom.set_xlabel('epoch')
    if line.distances:
        bottom.set_yscale('log')
        bottom.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bottom.yaxis.set_major_formatter('{x:g}')
        bottom.yaxis.set_minor_formatter(NullFormatter())
        beneath = dict(loc='lower center', bbox_to_anchor=(0.5, 1))
        bottom.legend(ncols=len(line.distances), fontsize=7, **beneath)
