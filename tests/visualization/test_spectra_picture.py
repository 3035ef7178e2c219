"""The picture of what students learned."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from mmvkd.evaluation.fidelity import Fidelity, Stage
from mmvkd.visualization.pictures import png
from mmvkd.visualization.spectra import draw_spectra, read_scales, table

STUDENTS = ('before', 'ours', 'kd')


def fidelity(stages: int = 2, frames: int = 8) -> Fidelity:
    """Of made-up numbers."""
    bands = frames // 2
    shares = [0.9] + [1 / bands] * bands
    kernels = [1 / 9] * 9
    distances = {
        name: dict(bands=0.1 * i, energy=0.2 * i, coherence=0.5 * i, kernels=0.01 * i)
        for name, i in zip(STUDENTS, (4, 1, 2))
    }
    models = ('r50', *STUDENTS)
    stage = Stage(
        {name: shares for name in models}, {name: kernels for name in models}, distances
    )
    return Fidelity('r50', STUDENTS, 6, {f'stage{i + 1}': stage for i in range(stages)})


def drawn(found: Fidelity, scales: dict) -> Figure:
    figure = Figure()
    draw_spectra(figure, found, scales)
    return figure


def assert_laid_out(found: Fidelity) -> None:
    with warnings.catch_warnings():
        # that there was no place for the axes
        warnings.simplefilter('error')
        png(partial(draw_spectra, fidelity=found, scales={}))


def test_each_stage_has_its_spectra_and_the_distances_to_the_teacher() -> None:
    found = fidelity()
    found.stages['stage1'].temporal['ours'] = [0.5, 0.7, 0.2, 0.1, 0.0]
    figure = drawn(found, {})
    assert len(figure.axes) == 6
    temporal, kernels, distances = figure.axes[:3]
    assert temporal.get_ylabel().startswith('stage1')
    ours = [line for line in temporal.lines if line.get_label() == 'ours']
    # the mean is apart
    assert ours[0].get_xydata().tolist() == [[1, 70], [2, 20], [3, 10], [4, 0]]
    # a flat spectrum is 1 in every order of frequencies
    assert kernels.lines[0].get_ydata().round(6).tolist() == [1] * 5
    assert 'r50' in distances.get_title()
    # in units of the student before training
    assert [x for line in distances.lines[1:] for x in line.get_xdata()] == (
        [0.25] * 4 + [0.5] * 4
    )
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ['r50', *STUDENTS]
    assert png(partial(draw_spectra, fidelity=found, scales={})).startswith(b'\x89PNG')


def test_scales_have_a_row_of_their_own() -> None:
    figure = drawn(fidelity(), dict(cls={20: 0.5, 10: 0.7}))
    line = figure.axes[-1].lines[0]
    assert line.get_xydata().tolist() == [[10, 0.7], [20, 0.5]]
    assert figure.axes[-1].get_xlabel() == 'iteration'


def test_what_a_stage_lacks_is_left_out() -> None:
    found = fidelity(stages=1, frames=32)
    stage = found.stages['stage1']
    stage.kernels.clear()
    for distances in stage.distances.values():
        del distances['kernels']
    stage.distances['before']['bands'] = 0.0
    # that is the teacher: on an axis of logarithms it has no place
    stage.distances['kd'].update(energy=0.0, coherence=0.0)
    _, kernels, distances = drawn(found, {}).axes
    assert not kernels.lines
    assert [len(line.get_xdata()) for line in distances.lines[1:]] == [2, 0]
    assert_laid_out(found)


def test_the_table_has_a_line_for_each_stage_and_student_and_the_mean() -> None:
    lines = [line.split() for line in table(fidelity()).splitlines()]
    assert lines[0] == ['stage', 'student', 'bands', 'energy', 'coherence', 'kernels']
    assert lines[2] == ['stage1', 'ours', '0.1', '0.2', '0.5', '0.01']
    assert [line[:2] for line in lines[-3:]] == [['mean', name] for name in STUDENTS]


def test_scales_are_read_from_the_log_and_a_resumed_run_counts_once(
    tmp_path: Path,
) -> None:
    for run, entries in (
        ('20250101', [(10, 0.0), (20, 1.0)]),
        ('20250102', [(20, 2.0), (30, 3.0)]),
    ):
        file = tmp_path / run / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [dict(step=s, scale_cls=v, loss_scales=9.0) for s, v in entries]
        file.write_text('\n'.join(map(json.dumps, lines)))
    assert read_scales(tmp_path) == dict(cls={10: 0.0, 20: 2.0, 30: 3.0})
    assert read_scales(tmp_path / 'none') == {}
