"""tools/benchmark.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_project import Project, tool

from mmvkd.evaluation import growth
from mmvkd.evaluation.benchmark import LOADING
from mmvkd.evaluation.variants import CACHED, DISTILLATION, LOADED, STUDENT

run = tool('benchmark')
FEW = ['--batch', '2', '--steps', '1', '--warmup', '0', '--no-memory']


def test_a_distiller_is_timed_with_real_loading(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'cost.json'
    config = project.distiller('timed')
    told = run(
        [
            config,
            *FEW,
            '--json',
            str(out),
            '--cfg-options',
            'model.heads.kd.temperature=2',
        ]
    )
    assert json.loads(out.read_text()) == json.loads(json.dumps(told))
    assert {DISTILLATION, LOADING, f'{CACHED}{LOADED}'} < set(told['times'])
    printed = capsys.readouterr().out
    for name in told['times']:
        assert f'\n{name}' in printed


def test_a_plain_student_is_timed(project: Project) -> None:
    told = run([project.config('plain'), *FEW])
    assert set(told['times']) == {STUDENT, f'{STUDENT}{LOADED}', LOADING}
    assert told['ratios'] == []


def test_the_growth_is_drawn(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, 'AXES', dict(teachers=(1, 2)))
    picture = tmp_path / 'growth.png'
    config = project.distiller('growing')
    told = run([config, *FEW, '--growth', 'teachers', '--png', str(picture)])
    assert [point['value'] for point in told['teachers']] == [1, 2]
    assert picture.read_bytes().startswith(b'\x89PNG')


def test_a_picture_of_nothing_that_grows_is_refused(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        run([project.config('plain'), *FEW, '--png', str(tmp_path / 'x.png')])
    assert 'add --growth' in capsys.readouterr().err


def test_a_setting_that_cannot_be_measured_ends_in_a_line(
    project: Project, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for option, told in (
        (('--steps', '0'), 'steps must be 1 or more'),
        (('--device', 'cuda'), "device 'cuda': torch sees no CUDA device here"),
    ):
        with pytest.raises(SystemExit):
            run([project.config('plain'), *option])
        assert capsys.readouterr().err.startswith(f'error: {told}')
