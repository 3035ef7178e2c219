"""How the cost of a step grows is measured on changed configs, and drawn."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from bench import NOWHERE, ONE, bench, distilling, whole
from recognizer_toys import teacher
from toys import tiny_tsm

from mmvkd.evaluation import growth
from mmvkd.evaluation.growth import Point, at, plain_growth
from mmvkd.evaluation.variants import (
    CACHED,
    DISTILLATION,
    STUDENT,
    SUFFIXES,
    TEACHERS,
)
from mmvkd.visualization.growth import draw_growth
from mmvkd.visualization.pictures import png


def test_a_config_gets_more_teachers_for_all_its_heads(tmp_path: Path) -> None:
    heads = dict(
        kd=dict(type='mmvkd.KDHead', teachers=['t']),
        hint=dict(
            type='mmvkd.FitNetsHead',
            tap='backbone.layer4',
            teacher_tap=dict(t='backbone.layer3'),
        ),
    )
    config = whole(distilling(heads=heads))
    model = bench(tmp_path, at(config, 'teachers', 3)).online
    assert list(model.teachers) == ['t_1', 't_2', 't_3']
    assert list(model.heads['hint'].connectors) == ['t_1', 't_2', 't_3']
    assert list(config['model']['teachers']) == ['t']


def test_a_config_gets_more_classes_and_frames(tmp_path: Path) -> None:
    model = bench(tmp_path, at(whole(), 'classes', 9)).online
    for recognizer in (model.student, model.teachers['t'].model):
        assert recognizer.cls_head.num_classes == 9
    changed = bench(tmp_path, at(whole(), 'frames', 6), frames=6)
    assert changed.online.student.backbone.num_segments == 6
    step = changed.variant(DISTILLATION)
    given = step.prepare()
    assert given['inputs'][0].shape[0] == 6
    step.run(given)


@pytest.mark.parametrize('axis', ['teachers', 'frames', 'classes'])
def test_points_are_timed_along_an_axis(
    axis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, 'AXES', {axis: (2, 4)})
    said: list[str] = []
    points = growth.growth(whole(), axis, ONE, said.append)
    assert [point.value for point in points] == [2, 4]
    for point in points:
        assert CACHED not in point.times
        assert {STUDENT, TEACHERS, DISTILLATION, 'head kd'} < set(point.times)
    assert [line.split(':')[0] for line in said] == [f'{axis} 2', f'{axis} 4']


def test_processes_are_timed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, 'AXES', dict(processes=(2, 64)))
    monkeypatch.setattr(growth, 'usable_cores', lambda: 2)
    (point,) = growth.growth(whole(), 'processes', ONE, lambda text: None)
    assert point.value == 2
    assert len(point.times[DISTILLATION]) == 1


def test_a_recognizer_alone_has_no_growth() -> None:
    with pytest.raises(ValueError, match='needs a config of one'):
        growth.growth(whole(tiny_tsm()), 'teachers', ONE)


def points() -> list[Point]:
    return [
        Point(
            value,
            {
                STUDENT: [1.0, 2.0],
                TEACHERS: [1.0 * value, 2.0],
                DISTILLATION: [3.0, 4.0],
                'head kd': [0.1, 0.1],
                'head hint': [0.2, 0.2],
            },
        )
        for value in (1, 2)
    ]


def test_the_picture_shows_the_step_beside_the_sum_of_its_parts() -> None:
    series = points()[1].series()
    assert series[f'{STUDENT} + {TEACHERS}'].median == 3.5
    staged = Point(1, {**points()[1].times, SUFFIXES: [1.0, 1.0]}).series()
    assert staged[f'{STUDENT} + {TEACHERS} + {SUFFIXES}'].median == 4.5
    assert series['heads alone'].median == pytest.approx(0.3)
    picture = png(partial(draw_growth, found=dict(teachers=points(), frames=points())))
    assert picture.startswith(b'\x89PNG')
    told = json.loads(json.dumps(plain_growth(dict(teachers=points()))))
    assert told['teachers'][0]['value'] == 1
    assert told['teachers'][1]['series'][DISTILLATION]['median'] == 3.5


def test_a_teacher_of_other_size_keeps_it(tmp_path: Path) -> None:
    model = distilling(teachers=dict(t=teacher(tiny_tsm(50), NOWHERE)))
    made = bench(tmp_path, at(whole(model), 'teachers', 2)).online
    assert made.teachers['t_2'].model.backbone.depth == 50
