"""tools/plot_spectra.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_project import Project, tool

plot = tool('plot_spectra')


@pytest.fixture
def config(project: Project) -> str:
    """Of the distiller whose checkpoint there is."""
    return str(project.folder / 'distilled.py')


def test_a_student_stands_beside_the_teacher_in_a_picture_a_table_and_numbers(
    project: Project,
    config: str,
    checkpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / 'new' / 'spectra.png'
    # the same student again, and one that is the teacher
    same = tmp_path / 'same' / 'student.pth'
    same.parent.mkdir()
    same.write_bytes(Path(project.teacher).read_bytes())
    given = [config, checkpoint, '--against', str(same), '--out', str(out)]

    plot([*given, '--max-clips', '3', '--clips', project.train])

    assert out.read_bytes().startswith(b'\x89PNG')
    found = json.loads(out.with_suffix('.json').read_text())
    assert found['students'] == ['before', 'distilled', 'same']
    assert (found['teacher'], found['clips']) == ('t', 3)
    assert list(found['stages']) == [f'stage{i}' for i in range(1, 5)]
    for stage in found['stages'].values():
        assert stage['temporal']['same'] == pytest.approx(stage['temporal']['t'])
        assert stage['distances']['same'] == pytest.approx(
            dict(bands=0, energy=0, coherence=0, kernels=0), abs=1e-8
        )
        assert min(stage['distances']['distilled'].values()) > 1e-8
        assert stage['distances']['before'] != stage['distances']['distilled']
    said = capsys.readouterr().out.splitlines()
    # after what MMEngine says
    assert ['mean', 'same', '0', '0', '0', '0'] in [line.split() for line in said]
    assert said[-1] == str(out)


def test_before_is_what_training_starts_from(project: Project, tmp_path: Path) -> None:
    config = project.distiller(
        'still', optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0))
    )
    tool('train')([config, '--no-validate', '--work-dir', str(tmp_path / 'still')])

    plot([config, str(tmp_path / 'still'), '--max-clips', '1'])

    found = json.loads((tmp_path / 'still' / 'spectra.json').read_text())
    for stage in found['stages'].values():
        assert stage['kernels']['before'] == stage['kernels']['still']
        assert stage['kernels']['before'] != stage['kernels']['t']


def fails(capsys: pytest.CaptureFixture, *argv: str) -> str:
    """The line that the tool ends with."""
    with pytest.raises(SystemExit):
        plot(list(argv))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith('error: ')
    return said


def test_what_cannot_be_compared_is_told_in_a_line(
    project: Project, config: str, checkpoint: str, capsys: pytest.CaptureFixture
) -> None:
    plain = project.config('plain')
    told = fails(capsys, plain, checkpoint)
    assert 'a Recognizer2D, has no teachers to compare with' in told
    told = fails(capsys, config, checkpoint, '--teacher', 'u')
    assert "no teacher 'u'; it has t" in told
    told = fails(capsys, config, checkpoint, '--taps', 'backbone.layr1')
    assert "tap 'backbone.layr1' is not in Recognizer2D; near: backbone.layer1" in told
    told = fails(capsys, config, checkpoint, '--against', 'none.pth')
    assert "checkpoint 'none.pth' of the student is missing" in told
    told = fails(capsys, config, checkpoint, '--max-clips', '0')
    assert '1 or more, got 0' in told
    told = fails(capsys, config, checkpoint, '--clips', 'none.txt')
    assert "annotation file 'none.txt' is missing" in told
