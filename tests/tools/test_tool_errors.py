"""What is wrong with a config is told in one line, before the first step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
from small_project import Project, loader, tool
from toys import tiny_tsm

train, score = tool('train'), tool('test')
Run = Callable[..., str]


@pytest.fixture
def fail(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a tool that must fail, and return the one line it ends with."""

    def run(main: Callable, *argv: str) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in argv])
        assert end.value.code == 1
        text = capfd.readouterr().err
        assert 'Traceback' not in text
        last = text.strip().splitlines()[-1]
        assert last.startswith('error: ')
        assert text.count('error: ') == 1
        return last

    return run


def teacher(checkpoint: str = 'random', classes: int = 4, **settings: Any) -> dict:
    """A distiller's settings with this teacher."""
    wrapper = dict(
        type='mmvkd.RecognizerTeacher',
        model=tiny_tsm(num_classes=classes),
        checkpoint=checkpoint,
    )
    return dict(teachers=dict(t=dict(wrapper, **settings)))


def head(**settings: Any) -> dict:
    """A distiller's settings with this head and a teacher."""
    return dict(teacher(), heads=dict(h=settings))


MODELS: dict[str, tuple[dict, str]] = {
    'tap': (
        head(type='mmvkd.FitNetsHead', tap='backbone.layr4'),
        "tap 'backbone.layr4' is not in Recognizer2D; near: backbone.layer4",
    ),
    'head': (
        head(type='mmvkd.KDHed'),
        "type 'mmvkd.KDHed' is not a registered model; near: mmvkd.KDHead",
    ),
    'setting': (
        head(type='mmvkd.KDHead', temprature=2),
        "KDHead has no setting 'temprature'; near: temperature",
    ),
    'setting of a cached teacher': (
        teacher(type='mmvkd.CachedTeacher', store='store', chanels_last=True),
        "CachedTeacher has no setting 'chanels_last'; near: channels_last",
    ),
    'teacher of a head': (
        head(type='mmvkd.KDHead', teachers=['u']),
        "names teacher 'u'",
    ),
    'teacher type': (
        teacher(type='mmvkd.RecognizerTeechr'),
        'near: mmvkd.RecognizerTeacher',
    ),
    'teacher file': (
        teacher('nowhere/teacher.pth', recipe='tools/train.py teacher.py'),
        "'nowhere/teacher.pth' of the teacher 't' is missing; make it with: "
        'tools/train.py teacher.py',
    ),
    'teacher classes': (teacher(classes=7), "teacher 't' has 7 classes, the student 4"),
    'student classes': (
        dict(
            student=tiny_tsm(num_classes=3),
            **teacher(classes=3),
        ),
        'num_classes=3',
    ),
}


@pytest.mark.parametrize('case', MODELS)
def test_a_wrong_model_is_told(project: Project, fail: Run, case: str) -> None:
    model, message = MODELS[case]
    assert message in fail(train, project.distiller('wrong', model=model))


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (None, "annotation file '{list}' is missing"),
        ('', "'{list}' lists no clips"),
        ('my clip.mp4 3\n', "'{list}' is unfit: a line in it is not 'path label'"),
        ('{folder}/none.mp4 0\n', "do not exist, as '{folder}/none.mp4'"),
        ('{folder}/rubbish.mp4 0\n', "'{folder}/rubbish.mp4"),
        ('{folder}/rubbish.mp4 9\n', 'label 9 of clip'),
    ],
)
@pytest.mark.parametrize('stage', ['train', 'test'])
def test_a_wrong_list_is_told(
    project: Project,
    checkpoint: str,
    fail: Run,
    tmp_path: Path,
    lines: Any,
    message: str,
    stage: str,
) -> None:
    names = dict(folder=tmp_path, list=tmp_path / 'list.txt')
    (tmp_path / 'rubbish.mp4').write_bytes(b'rubbish' * 50)
    if lines is not None:
        names['list'].write_text(lines.format(**names))
    data = {f'{stage}_dataloader': loader(str(names['list']), stage == 'train')}
    config = project.config('wrong', **data)
    run = [train, config] if stage == 'train' else [score, config, checkpoint]
    assert message.format(**names) in fail(*run)


@pytest.mark.parametrize(
    'line', ['', '{folder}', '{folder} 8 0 1', 'my folder 8 0', '{folder} x 0']
)
def test_a_wrong_list_of_frames_is_told(
    project: Project, fail: Run, tmp_path: Path, line: str
) -> None:
    (tmp_path / 'list.txt').write_text(line.format(folder=tmp_path) + '\n')
    data = loader(str(tmp_path / 'list.txt'), True)
    frames = dict(type='RawframeDataset', data_prefix=dict(img=''))
    data['dataset']['dataset'].update(frames)
    told = fail(train, project.config('wrong', train_dataloader=data))
    assert f"'{tmp_path}/list.txt' is unfit" in told
    assert "is not 'folder frames label'" in told


def test_a_wrong_setting_of_a_pipeline_is_not_laid_on_the_list(
    project: Project, fail: Run
) -> None:
    data = loader(project.train, True)
    data['dataset']['dataset']['pipeline'][-2]['input_format'] = 'NCWH'
    told = fail(train, project.config('wrong', train_dataloader=data))
    assert 'The input format NCWH is invalid' in told and 'is unfit' not in told


def test_an_interval_of_0_is_refused_before_training(
    project: Project, fail: Run
) -> None:
    config = project.config('wrong', train_cfg=dict(val_interval=0))
    assert 'val_interval=0: --no-validate trains without' in fail(train, config)


def test_a_list_of_a_plain_dataset_is_checked_too(
    project: Project, checkpoint: str, fail: Run, tmp_path: Path
) -> None:
    (tmp_path / 'empty.txt').write_text('')
    data = loader(project.test, False)
    data['dataset'] = dict(
        data['dataset']['dataset'], ann_file=str(tmp_path / 'empty.txt')
    )
    config = project.config('wrong', test_dataloader=data)
    assert f"'{tmp_path}/empty.txt' lists no clips" in fail(score, config, checkpoint)


def test_a_clip_that_a_worker_cannot_decode_is_told_in_testing(
    project: Project, checkpoint: str, fail: Run, tmp_path: Path
) -> None:
    (tmp_path / 'rubbish.mp4').write_bytes(b'rubbish' * 50)
    text = Path(project.test).read_text() + f'{tmp_path}/rubbish.mp4 0\n'
    (tmp_path / 'list.txt').write_text(text)
    data = dict(loader(str(tmp_path / 'list.txt'), False), num_workers=1)
    line = fail(score, project.config('wrong', test_dataloader=data), checkpoint)
    assert f"clip '{tmp_path}/rubbish.mp4'" in line
    assert 'cannot be read' in line


def rubbish(path: Path, checkpoint: str) -> str:
    path.write_bytes(b'rubbish')
    return 'cannot be read'


def truncated(path: Path, checkpoint: str) -> str:
    path.write_bytes(Path(checkpoint).read_bytes()[:50000])
    return 'cannot be read'


def foreign(path: Path, checkpoint: str) -> str:
    torch.save(dict(state_dict={'net.weight': torch.zeros(2)}), path)
    return 'is not of this model'


def missing(path: Path, checkpoint: str) -> str:
    return 'is missing'


class Evil:
    """Unpickles by running code."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def evil(path: Path, checkpoint: str) -> str:
    torch.save(dict(state_dict={}, meta=Evil(str(path) + '.evil')), path)
    return 'safe loading refuses'


@pytest.mark.parametrize('kind', [rubbish, truncated, foreign, missing, evil])
def test_a_wrong_checkpoint_is_told(
    project: Project, checkpoint: str, fail: Run, tmp_path: Path, kind: Callable
) -> None:
    path = tmp_path / 'wrong.pth'
    message = kind(path, checkpoint)
    plain = project.config('plain')
    for run in (
        [score, plain, path],
        [train, plain, '--resume', path],
        [train, plain, '--cfg-options', f'load_from={path}'],
    ):
        line = fail(*run)
        assert f"checkpoint '{path}' {message}" in line or (
            message == 'safe loading refuses' and message in line
        )
    assert not Path(f'{path}.evil').exists()


def test_a_checkpoint_of_other_classes_is_not_scored(
    project: Project, checkpoint: str, fail: Run
) -> None:
    config = project.config('wrong', model=tiny_tsm(num_classes=6))
    assert 'checkpoint (4, 512), model (6, 512)' in fail(score, config, checkpoint)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'does not exist'),
        ('a = (1\n', 'is not Python'),
        ("_base_ = ['none.py']\n", "none.py', which does not exist"),
        ("_base_ = ['mmvkd::none.py']\n", "'mmvkd::none.py' is not in"),
    ],
)
def test_a_wrong_config_file_is_told(
    project: Project, fail: Run, tmp_path: Path, text: Any, message: str
) -> None:
    if text is not None:
        (tmp_path / 'wrong.py').write_text(text)
    assert message in fail(train, tmp_path / 'wrong.py')


@pytest.mark.parametrize(
    ('data', 'word'),
    [('motions', 'MMVKD_SIZE'), ('own', 'MMVKD_NUM_CLASSES')],
)
def test_an_environment_word_that_is_no_number_is_told(
    fail: Run, monkeypatch: pytest.MonkeyPatch, data: str, word: str
) -> None:
    monkeypatch.setenv('MMVKD_DATA', data)
    monkeypatch.setenv(word, 'big')
    message = fail(train, 'mmvkd::students/tsm_r18.py')
    assert f"error: {word}='big' is not a whole number" in message


def test_a_flag_that_does_not_fit_is_told(
    project: Project, checkpoint: str, fail: Run
) -> None:
    plain = project.config('plain')
    assert 'base_batch_size' in fail(train, plain, '--auto-scale-lr')
    assert '.pkl' in fail(score, plain, checkpoint, '--dump', 'x.txt')


@pytest.mark.parametrize('how', ['flag', 'environment'])
def test_the_trace_is_there_for_who_asks(
    capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv('MMVKD_TRACEBACK', str(int(how == 'environment')))
    flags = ['--traceback'] if how == 'flag' else []
    with pytest.raises(SystemExit):
        train(['none.py', *flags])
    text = capfd.readouterr().err
    assert 'Traceback' in text and 'load_config' in text
    assert text.strip().splitlines()[-1] == "error: config 'none.py' does not exist"


def test_an_error_within_the_loop_keeps_its_trace(
    project: Project,
    capfd: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from mmaction.models import Recognizer2D

    def broken(self: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError('sizes differ')

    monkeypatch.setattr(Recognizer2D, 'loss', broken)
    with pytest.raises(SystemExit):
        train([project.config('plain'), '--work-dir', str(tmp_path)])
    text = capfd.readouterr().err
    assert 'Traceback' in text and 'in broken' in text
    assert text.strip().splitlines()[-1] == 'error: sizes differ'


def test_of_many_processes_the_first_to_fail_tells_the_launcher(
    capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('MMVKD_ERROR_FILE', str(tmp_path / 'line'))
    for name in ('first.py', 'second.py'):
        with pytest.raises(SystemExit):
            train([name])
    assert 'error:' not in capfd.readouterr().err
    assert (tmp_path / 'line').read_text().startswith("error: config 'first.py'")
