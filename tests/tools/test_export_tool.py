"""tools/export_student.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmaction.registry import MODELS
from small_project import Project, tool
from toys import tiny_tsm

export = tool('export_student')

LOAD = """
import sys, torch
saved = torch.load(sys.argv[1], map_location='cpu', weights_only=True)
assert type(saved) is dict and type(saved['state_dict']) is dict
assert all(type(x) is torch.Tensor for x in saved['state_dict'].values())
assert 'mmvkd' not in sys.modules and 'mmengine' not in sys.modules
print(len(saved['state_dict']))
"""


def test_the_student_loads_safely_where_nothing_of_ours_is(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    out = str(tmp_path / 'student.pth')
    export([checkpoint, out, '--config', project.distiller('distilled')])
    run = subprocess.run(
        [sys.executable, '-c', LOAD, out], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == len(MODELS.build(tiny_tsm()).state_dict())


def test_the_student_loads_strictly_and_is_the_trained_one(
    checkpoint: str, tmp_path: Path
) -> None:
    out = tmp_path / 'new' / 'student.pth'
    export([checkpoint, str(out)])
    saved = torch.load(out, weights_only=True)
    MODELS.build(tiny_tsm()).load_state_dict(saved['state_dict'], strict=True)
    trained = torch.load(checkpoint, weights_only=True)['state_dict']
    assert all(torch.equal(x, trained[key]) for key, x in saved['state_dict'].items())
    assert saved['meta']['epoch'] == 1
    assert [path.name for path in out.parent.iterdir()] == ['student.pth']


def test_an_exported_student_scores_as_its_checkpoint(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    out, plain = str(tmp_path / 'student.pth'), project.config('plain')
    export([str(Path(checkpoint).parent), out])
    assert tool('test')([plain, out]) == tool('test')([plain, checkpoint])


def test_averaged_weights_are_exported(project: Project, tmp_path: Path) -> None:
    hooks = [dict(type='EMAHook', momentum=0.5), dict(type='mmvkd.SeedingHook')]
    config = project.distiller('averaged', custom_hooks=hooks)
    tool('train')([config, '--no-validate', '--work-dir', str(tmp_path)])
    export([str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'student.pth')])
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    student = torch.load(tmp_path / 'student.pth', weights_only=True)['state_dict']
    key = 'cls_head.fc_cls.weight'
    assert torch.equal(student[key], saved['state_dict'][key])
    # MMEngine keeps the last step's own weights here
    assert not torch.equal(student[key], saved['ema_state_dict'][f'module.{key}'])


def test_only_plain_facts_of_the_run_are_kept(tmp_path: Path) -> None:
    meta: dict[str, Any] = dict(
        epoch=3,
        cfg='secret = 1',
        dataset_meta=dict(classes=('up', 'down'), other=[1]),
        hook_msgs=dict(best=0.5),
    )
    state = MODELS.build(tiny_tsm()).state_dict()
    source, out = tmp_path / 'source.pth', tmp_path / 'out.pth'
    torch.save(dict(state_dict=state, meta=meta, optimizer={}), source)
    export([str(source), str(out)])
    saved = torch.load(out, weights_only=True)
    assert set(saved) == {'state_dict', 'meta'}
    assert saved['meta'] == dict(epoch=3, dataset_meta=dict(classes=['up', 'down']))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(state_dict={'net.weight': torch.zeros(1)}), "no 'backbone.'"),
        (dict(state_dict={'backbone.w': torch.zeros(1)}), "no 'cls_head.'"),
        (dict(state_dict={'distill.heads.w': torch.zeros(1)}), 'parts: distill'),
        (dict(state_dict={'backbone.w': 3}), 'not a state dict'),
    ],
)
def test_a_file_without_a_student_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, content: Any, message: str
) -> None:
    source, out = tmp_path / 'source.pth', tmp_path / 'out.pth'
    torch.save(content, source)
    with pytest.raises(SystemExit):
        export([str(source), str(out)])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"'{source}' holds no student" in line and message in line
    assert not out.exists()


def test_a_student_of_another_config_is_refused(
    project: Project, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = project.config('other', model=tiny_tsm(num_classes=6))
    out = tmp_path / 'out.pth'
    with pytest.raises(SystemExit):
        export([checkpoint, str(out), '--config', other])
    assert 'checkpoint (4, 512), model (6, 512)' in capsys.readouterr().err
    assert not out.exists()
