"""No score for random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from runs import run_config, tiny_distiller, tiny_student
from toys import tiny_tsm
from videos import write_list


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list of two clips."""
    return write_list(tmp_path_factory.mktemp('clips'), 2)


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checkpoints of several models, good and bad, by name."""
    init_default_scope('mmaction')
    folder = tmp_path_factory.mktemp('checkpoints')
    student = MODELS.build(tiny_student()).state_dict()
    distilled = MODELS.build(tiny_distiller()).state_dict()
    wider = tiny_student()
    wider['cls_head']['num_classes'] = 7
    contents: dict[str, Any] = dict(
        student=dict(state_dict=student, meta=dict(epoch=1, iter=1)),
        bare=student,
        parallel=dict(state_dict={f'module.{k}': x for k, x in student.items()}),
        distilled=dict(state_dict=distilled),
        foreign=dict(state_dict=MODELS.build(tiny_tsm()).state_dict()),
        other_keys=dict(model=student),
        classes=dict(state_dict=MODELS.build(wider).state_dict()),
        missing=dict(
            state_dict={k: x for k, x in student.items() if 'layer2.1' not in k}
        ),
        nothing=dict(state_dict={'some.weight': torch.zeros(2)}),
        list=[1, 2],
    )
    paths = {}
    for name, content in contents.items():
        paths[name] = str(folder / f'{name}.pth')
        torch.save(content, paths[name])
    return paths


def runner(
    folder: Path,
    clips: str,
    model: dict,
    load_from: str,
    resume: bool = False,
    testing: bool = True,
) -> Runner:
    """A Runner that loads a checkpoint."""
    config = run_config(str(folder), clips, clips, epochs=1)
    config.model = model
    config.load_from = load_from
    config.resume = resume
    if testing:
        for kind in ('dataloader', 'cfg', 'evaluator'):
            config[f'test_{kind}'] = config[f'val_{kind}']
        for key in list(config):
            if key.startswith(('train', 'val', 'optim', 'param')):
                config.pop(key)
    return Runner.from_cfg(config)


@pytest.mark.parametrize('saved', ['student', 'bare', 'parallel', 'distilled'])
@pytest.mark.parametrize('model', ['student', 'distiller'])
def test_student_and_distiller_score_each_others_checkpoints_alike(
    tmp_path: Path, clips: str, checkpoints: dict[str, str], saved: str, model: str
) -> None:
    config = tiny_student() if model == 'student' else tiny_distiller()
    run = runner(tmp_path, clips, config, checkpoints[saved])
    assert 'acc/top1' in run.test()
    expected = torch.load(checkpoints[saved])
    expected = expected.get('state_dict', expected)
    own = run.model.state_dict()
    for key, value in expected.items():
        key = key.replace('module.', '')
        if not key.startswith('distill.'):
            assert torch.equal(own[key], value)


@pytest.mark.parametrize('model', ['student', 'distiller'])
@pytest.mark.parametrize(
    ('saved', 'problem'),
    [
        ('foreign', r'\d+ of another shape|\d+ unknown keys'),
        ('other_keys', r'\d+ of \d+ keys missing \(as backbone\.'),
        ('classes', r'2 of another shape \(cls_head\.fc_cls\.weight: checkpoint \(7, '),
        ('missing', r'12 of \d+ keys missing \(as backbone\.layer2\.1\.conv1'),
        ('nothing', r'keys missing .*1 unknown keys \(as some\.weight\)'),
    ],
)
def test_testing_a_checkpoint_that_does_not_fit_raises_one_line(
    tmp_path: Path,
    clips: str,
    checkpoints: dict[str, str],
    model: str,
    saved: str,
    problem: str,
) -> None:
    config = tiny_student() if model == 'student' else tiny_distiller()
    run = runner(tmp_path, clips, config, checkpoints[saved])
    message = rf"checkpoint '.*{saved}\.pth' is not of this model: .*({problem})"
    with pytest.raises(RuntimeError, match=message) as info:
        run.test()
    assert '\n' not in str(info.value)


def test_testing_a_file_that_is_no_checkpoint_raises_one_line(
    tmp_path: Path, clips: str, checkpoints: dict[str, str]
) -> None:
    run = runner(tmp_path, clips, tiny_student(), checkpoints['list'])
    with pytest.raises(RuntimeError, match=r"list\.pth' holds a list, no state dict"):
        run.test()


@pytest.mark.parametrize('saved', ['student', 'parallel', 'classes', 'missing'])
def test_a_warm_start_goes_on_with_what_fits_even_in_part(
    tmp_path: Path, clips: str, checkpoints: dict[str, str], saved: str
) -> None:
    run = runner(tmp_path, clips, tiny_distiller(), checkpoints[saved], testing=False)
    run.train()
    assert run.iter == 1


@pytest.mark.parametrize('saved', ['nothing', 'other_keys'])
def test_a_warm_start_from_what_does_not_fit_at_all_is_refused(
    tmp_path: Path, clips: str, checkpoints: dict[str, str], saved: str
) -> None:
    run = runner(tmp_path, clips, tiny_distiller(), checkpoints[saved], testing=False)
    message = rf"{saved}\.pth' is not of this model: nothing in it fits"
    with pytest.raises(RuntimeError, match=message):
        run.train()
    assert run.iter == 0


def test_resuming_from_a_checkpoint_of_another_model_raises_one_line(
    tmp_path: Path, clips: str, checkpoints: dict[str, str]
) -> None:
    run = runner(
        tmp_path, clips, tiny_distiller(), checkpoints['student'], True, testing=False
    )
    message = (
        r"student\.pth' is not of this model: \d+ of \d+ keys missing \(as distill\."
    )
    with pytest.raises(RuntimeError, match=message):
        run.train()


def test_a_pointer_names_the_checkpoint_in_the_message(
    tmp_path: Path, clips: str, checkpoints: dict[str, str]
) -> None:
    (tmp_path / 'last_checkpoint').write_text(checkpoints['nothing'])
    run = runner(tmp_path, clips, tiny_student(), '', True, testing=False)
    run._load_from = None
    with pytest.raises(RuntimeError, match=r"nothing\.pth' is not of this model"):
        run.train()
