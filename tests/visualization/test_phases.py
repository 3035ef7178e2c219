"""The time line of a cascade, read from what a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config

from mmvkd.visualization.phases import TimeLine, draw_phases, read_time_line
from mmvkd.visualization.pictures import png

PHASES = dict(front=dict(epochs=1), whole={})


def write_run(folder: Path, name: str, lines: list[dict], **config: object) -> None:
    place = folder / name / 'vis_data'
    place.mkdir(parents=True)
    (place / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    settings = dict(train_cfg=dict(max_epochs=3), default_hooks={}, **config)
    Config(settings).dump(str(place / 'config.py'))


def train(step: int, epoch: int, **values: float) -> dict:
    named = {f'substage_distance_{key}': value for key, value in values.items()}
    return dict(
        named, loss=1.0, substage_weight_a=2.0, epoch=epoch, iter=step, step=step
    )


def test_phases_accuracy_and_distances_are_those_of_the_log(tmp_path: Path) -> None:
    hook = dict(type='mmvkd.CascadeHook', phases=PHASES)
    first = [
        train(2, 1, a=4.0),
        train(4, 1, a=3.0),
        {'acc/top1': 0.25, 'step': 1},
        train(6, 2, a=9.0, b=9.0),
    ]
    second = [
        train(6, 2, a=2.0, b=5.0),
        train(8, 2, a=1.0, b=4.0),
        {'acc/top1': 0.5, 'step': 2},
    ]
    # resumed within the second epoch
    write_run(tmp_path, '20260102', second, custom_hooks=[hook])
    write_run(tmp_path, '20260101', first, custom_hooks=[hook])
    line = read_time_line(tmp_path)
    assert line.phases == [('front', 1), ('whole', 2)]
    assert line.accuracy == {1: 0.25, 2: 0.5}
    assert line.distances == {
        'a': {0.5: 4.0, 1.0: 3.0, 1.5: 2.0, 2.0: 1.0},
        'b': {1.5: 5.0, 2.0: 4.0},
    }


def test_a_run_that_is_none_or_no_cascade_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='has no log such as'):
        read_time_line(tmp_path)
    write_run(tmp_path, '20260101', [])
    with pytest.raises(ValueError, match='has no CascadeHook'):
        read_time_line(tmp_path)


def test_each_phase_has_its_band_and_each_substage_its_curve(tmp_path: Path) -> None:
    line = TimeLine(
        [('front', 1), ('skipped', 0), ('whole', 2)],
        {1: 0.2, 2: 0.4, 3: 0.5},
        dict(stage1={1: 5.0, 3: 0.5}, stage2={1: 2.0, 3: 1.0}, late={3: 2.0}),
    )
    found = []

    def look(figure: Figure) -> None:
        draw_phases(figure, line)
        found.extend(figure.axes)

    path = tmp_path / 'phases.png'
    path.write_bytes(png(look))
    assert cv2.imread(str(path)).std() > 10
    top, bottom = found
    assert [text.get_text() for text in top.texts] == ['front', 'whole']
    assert [label.get_text() for label in bottom.get_legend().get_texts()] == [
        'stage1',
        'stage2',
        'late',
    ]
    # a line of one point would not be seen
    assert [curve.get_marker() for curve in bottom.lines] == ['None', 'None', 'o']
    assert list(top.lines[0].get_ydata()) == [0.2, 0.4, 0.5]
