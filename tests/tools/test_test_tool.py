"""tools/test.py, ours and MMAction2's."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import mmaction
import pytest
import torch
from small_project import Project, load_tool, tool

score = tool('test')


def dumped(path: Path) -> list[Any]:
    """The predictions of a run, in the order of the list."""
    with open(path, 'rb') as file:
        return [sample['pred_score'] for sample in pickle.load(file)]


def logged(folder: Path) -> dict[str, float]:
    """The metrics that MMEngine logs."""
    (path,) = folder.rglob('*.json')
    metrics = json.loads(path.read_text())
    return {key: metrics[key] for key in metrics if key.startswith('acc/')}


def test_mmaction2s_own_test_script_gives_the_same_to_the_last_digit(
    project: Project,
    checkpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = score(
        [
            *(project.distiller('distilled'), checkpoint),
            *('--work-dir', str(tmp_path / 'ours')),
            *('--dump', str(tmp_path / 'ours.pkl')),
        ]
    )
    script = Path(mmaction.__file__).parent / '.mim' / 'tools' / 'test.py'
    argv = [
        *(str(script), project.config('plain'), checkpoint),
        *('--work-dir', str(tmp_path / 'theirs')),
        *('--dump', str(tmp_path / 'theirs.pkl')),
    ]
    monkeypatch.setattr(sys, 'argv', argv)
    monkeypatch.setenv('LOCAL_RANK', '0')
    load_tool(script).main()
    a, b = dumped(tmp_path / 'ours.pkl'), dumped(tmp_path / 'theirs.pkl')
    assert len(a) == len(b) == 6
    assert all(torch.equal(x, y) for x, y in zip(a, b))
    assert logged(tmp_path / 'ours') == logged(tmp_path / 'theirs')
    assert logged(tmp_path / 'ours')['acc/top1'] == ours['acc/top1']


def test_the_teachers_file_is_not_needed(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    from toys import tiny_tsm

    gone = dict(
        type='mmvkd.RecognizerTeacher',
        model=tiny_tsm(),
        checkpoint=str(tmp_path / 'deleted.pth'),
    )
    without = project.distiller('without', model=dict(teachers=dict(t=gone)))
    plain = score([project.config('plain'), checkpoint])
    assert score([without, checkpoint]) == plain


def test_metrics_are_written_where_out_says(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    out = tmp_path / 'new' / 'metrics.json'
    # the folder of the run means its checkpoint
    run = str(Path(checkpoint).parent)
    metrics = score([project.config('plain'), run, '--out', str(out)])
    assert json.loads(out.read_text()) == metrics
    assert 0 <= metrics['acc/top1'] <= metrics['acc/top2'] <= 1


def test_a_metric_may_be_a_matrix(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    out = tmp_path / 'metrics.json'
    matrix = dict(type='ConfusionMatrix')
    config = project.config('matrix', test_evaluator=matrix)
    score([config, checkpoint, '--out', str(out)])
    (rows,) = json.loads(out.read_text()).values()
    assert sum(map(sum, rows)) == 6


def test_cfg_options_choose_another_list(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    option = f'test_dataloader.dataset.dataset.ann_file={project.train}'
    dump = tmp_path / 'scores.pkl'
    score(
        [
            *(project.config('plain'), checkpoint),
            *('--dump', str(dump), '--cfg-options', option),
        ]
    )
    assert len(dumped(dump)) == 8
