"""tools/export_student.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from recognizer_toys import file_of, plain, tiny_slowfast
from small_project import Project, tool
from torch import Tensor
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

RUN = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
clips = torch.load(sys.argv[2], weights_only=True)
assert 'mmaction' not in sys.modules and 'mmengine' not in sys.modules
torch.save([program(clip[None]) for clip in clips], sys.argv[3])
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


def test_a_folder_without_a_checkpoint_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        export([str(tmp_path), str(tmp_path / 'out.pth')])
    assert f"error: folder '{tmp_path}' has no checkpoint" in capsys.readouterr().err


def test_a_student_of_another_config_is_refused(
    project: Project, checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    other = project.config('other', model=tiny_tsm(num_classes=6))
    out = tmp_path / 'out.pth'
    with pytest.raises(SystemExit):
        export([checkpoint, str(out), '--config', other])
    assert 'checkpoint (4, 512), model (6, 512)' in capsys.readouterr().err
    assert not out.exists()


def predicted(model: torch.nn.Module, frames: Tensor) -> Tensor:
    """Class scores (1, M) by the recognizer's own test step."""
    samples = [ActionDataSample()]
    return model.test_step(dict(inputs=[frames], data_samples=samples))[0].pred_score


def run_alone(program: Path, clips: list[Tensor], folder: Path) -> list[Tensor]:
    """Class scores by the program in a process that has torch alone."""
    frames, scores = folder / 'frames.pt', folder / 'scores.pt'
    torch.save(clips, frames)
    command = [sys.executable, '-c', RUN, str(program), str(frames), str(scores)]
    subprocess.run(command, check=True)
    return torch.load(scores, weights_only=True)


def test_a_program_of_real_frames_needs_torch_alone(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    out, config = tmp_path / 'student.pt2', project.distiller('distilled')
    export([checkpoint, str(out), '--config', config])
    plain_config = Config.fromfile(project.config('plain'))
    dataset = DATASETS.build(plain_config.test_dataloader.dataset)
    clips = [dataset[index]['inputs'] for index in range(len(dataset))]
    model = MODELS.build(plain_config.model).eval()
    load_checkpoint(model, checkpoint)
    scores = run_alone(out, clips, tmp_path)
    assert len(scores) == 6
    for clip, found in zip(clips, scores):
        torch.testing.assert_close(found[0], predicted(model, clip))


def test_a_program_of_a_3d_student(project: Project, tmp_path: Path) -> None:
    model = plain(tiny_slowfast()).eval()
    source = file_of(model, tmp_path / 'slowfast.pth')
    config = project.config('slowfast', model=tiny_slowfast())
    out = tmp_path / 'slowfast.pt2'
    export([source, str(out), '--config', config, '--shape', '1', '3', '8', '32', '32'])
    clip = torch.randint(0, 256, (1, 3, 8, 32, 32), dtype=torch.uint8)
    [scores] = run_alone(out, [clip], tmp_path)
    torch.testing.assert_close(scores[0], predicted(model, clip))


def test_a_program_becomes_onnx(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    pytest.importorskip('onnxscript', reason='onnxscript makes ONNX files')
    runtime = pytest.importorskip('onnxruntime', reason='onnxruntime runs ONNX files')
    program, out = tmp_path / 'student.pt2', tmp_path / 'student.onnx'
    export([checkpoint, str(program), '--config', project.distiller('distilled')])
    exported = torch.export.load(program)
    torch.onnx.export(exported, f=str(out), dynamo=True)
    frames = torch.randint_like(exported.example_inputs[0][0], 256)
    session = runtime.InferenceSession(out)
    name = session.get_inputs()[0].name
    found = torch.from_numpy(session.run(None, {name: frames.numpy()})[0])
    torch.testing.assert_close(found, exported.module()(frames).detach())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'a program needs its --config'),
        (['--config', 'CONFIG', '--shape', '1', '3', '8', '32', '32'], 'T C H W'),
    ],
)
def test_a_program_without_config_or_of_another_shape_is_refused(
    project: Project,
    checkpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    arguments: list[str],
    message: str,
) -> None:
    config, out = project.distiller('distilled'), tmp_path / 'student.pt2'
    given = [config if word == 'CONFIG' else word for word in arguments]
    with pytest.raises(SystemExit):
        export([checkpoint, str(out), *given])
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()
