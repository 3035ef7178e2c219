"""tools/export_labels.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_project import Project, tool

export = tool('export_labels')


def test_a_run_with_weak_labels_gives_a_list_a_table_and_a_picture(
    project: Project, tmp_path: Path
) -> None:
    hooks = [dict(type=f'mmvkd.{n}') for n in ('SeedingHook', 'PseudoLabelHook')]
    config = project.distiller('weak', custom_hooks=hooks)
    settings = 'train_dataloader.dataset.'
    tool('train')(
        [
            config,
            '--no-validate',
            '--cfg-options',
            f'{settings}type=mmvkd.WeakLabels',
            f'{settings}labeled=0.5',
        ]
    )
    checkpoint = str(project.folder / 'work' / 'weak' / 'epoch_1.pth')
    out, picture = tmp_path / 'refined.txt', tmp_path / 'labels.png'
    export([checkpoint, str(out), '--picture', str(picture)])
    lines = [line.split() for line in out.read_text().splitlines()]
    theirs = [line.split() for line in Path(project.train).read_text().splitlines()]
    assert [Path(name).name for name, _ in lines] == [
        Path(name).name for name, _ in theirs
    ]
    # unlabeled clips have the teacher's label by now
    assert {label for _, label in lines} <= set('0123')
    assert len((tmp_path / 'refined.csv').read_text().splitlines()) == 9
    assert picture.stat().st_size > 1000


def test_a_checkpoint_without_labels_ends_in_a_line(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        export([checkpoint, str(tmp_path / 'out.txt')])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'has no labels; they are in those of a run with' in line
    assert not list(tmp_path.iterdir())
