"""Curves of what a run logged: a value by iteration or epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from mmvkd.run_logs import logged, run_logs

Curve = dict[float, float]
"""A value by iteration, or by epochs done."""


def needed_logs(folder: Path) -> list[Path]:
    """The logs of a run and of those that resumed it, oldest first.

    Args:
        folder: The run's ``work_dir``.

    Raises:
        FileNotFoundError: if there is none.
    """
    logs = run_logs(folder)
    if not logs:
        raise FileNotFoundError(
            f"'{folder}' has no log such as 2025…/vis_data/scalars.json; name the "
            "work_dir of a run whose vis_backends have a 'LocalVisBackend'"
        )
    return logs


def logged_curves(folder: Path) -> dict[str, Curve]:
    """A curve of each value that a run logged, of training by iteration, else by epoch.

    What a resumed run logged again counts once. Names that training and validation
    share, such as ``time``, have the points of both.

    Args:
        folder: The run's ``work_dir``.

    Returns:
        By name, in the order in which they were first logged; empty if there is no log.
    """
    curves: dict[str, Curve] = {}
    for entry in logged(folder):
        for name, value in entry.items():
            curves.setdefault(name, {})[entry['step']] = value
    return curves


def draw_curve(axes: Axes, curve: Curve, few: int = 2, **style: Any) -> None:
    """Draw a line, with dots where there are few points: a single one has no line.

    Args:
        axes: To draw on.
        curve: Its points may be in any order.
        few: Largest number of points that get dots.
        **style: Style of the line, as :meth:`matplotlib.axes.Axes.plot` takes it.
    """
    steps = sorted(curve)
    dots = dict(marker='o') if len(steps) <= few else {}
    axes.plot(steps, [curve[step] for step in steps], **{**dots, **style})
