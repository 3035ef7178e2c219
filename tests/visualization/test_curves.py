"""Curves, from a run's log to a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from mmvkd.run_logs import logged
from mmvkd.visualization.curves import draw_curve


def test_lines_without_a_step_are_left_out_and_runs_come_in_their_order(
    tmp_path: Path,
) -> None:
    for run, steps in (('20250102', [20, 30]), ('20250101', [10, 20, '1', None])):
        file = tmp_path / run / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [json.dumps(dict(step=step, run=run)) for step in steps]
        file.write_text('\n'.join([*lines, '{"loss": 1}', '{"step": 40, "cut']))
    found = [(line['step'], line['run'][-1]) for line in logged(tmp_path)]
    assert found == [(10, '1'), (20, '1'), (20, '2'), (30, '2')]


@pytest.mark.parametrize(
    ('points', 'settings', 'marker'),
    [
        (1, {}, 'o'),
        (2, {}, 'o'),
        (3, {}, 'None'),
        (2, dict(few=1), 'None'),
        (3, dict(marker='^'), '^'),
    ],
)
def test_a_curve_is_a_line_in_order_with_dots_where_it_would_not_be_seen(
    points: int, settings: dict, marker: str
) -> None:
    axes = Figure().add_subplot()
    draw_curve(axes, {step: step / 2 for step in reversed(range(points))}, **settings)
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[step, step / 2] for step in range(points)]
    assert line.get_marker() == marker
