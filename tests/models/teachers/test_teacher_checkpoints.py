"""A teacher's file is read when training starts, in safe mode, and must fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from recognizer_toys import build, config, distiller, file_of, plain, teacher
from teacher_toys import NOWHERE, frozen
from torch import nn
from toys import batch, tiny_tsm

from mmvkd.models import RecognizerTeacher


def test_a_frozen_teacher_needs_a_checkpoint() -> None:
    with pytest.raises(ValueError, match=r"needs its checkpoint, or 'random'.*mutual"):
        build(config(teachers=dict(t=dict(teacher(), checkpoint=None))), init=False)


def test_a_checkpoint_is_a_name() -> None:
    assert RecognizerTeacher(tiny_tsm(), Path('x.pth')).checkpoint == 'x.pth'
    with pytest.raises(ValueError, match=r"is the name of a file .* got \['x.pth'\]"):
        RecognizerTeacher(tiny_tsm(), ['x.pth'])


def test_only_training_needs_the_teachers_file() -> None:
    recipe = 'python tools/train.py configs/teachers/x.py'
    model = build(
        config(teachers=dict(t=teacher(checkpoint=NOWHERE, recipe=recipe))), init=False
    )
    assert len(model.val_step(batch())) == 2
    assert len(model.test_step(batch())) == 2
    model.to('cpu')
    with pytest.raises(FileNotFoundError) as info:
        model.init_weights()
    message = str(info.value)
    assert '\n' not in message
    assert NOWHERE in message and "teacher 't'" in message and recipe in message


def test_a_folder_without_a_checkpoint_is_told(tmp_path: Path) -> None:
    model = build(
        config(teachers=dict(t=teacher(checkpoint=str(tmp_path)))), init=False
    )
    with pytest.raises(FileNotFoundError, match=r"folder .* of the teacher 't' has no"):
        model.init_weights()


def test_a_teachers_file_is_read_when_training_starts(tmp_path: Path) -> None:
    trained = plain(tiny_tsm(), seed=8)
    path = file_of(trained, tmp_path / 'teacher.pth')
    model = build(config(teachers=dict(t=teacher(checkpoint=path))))
    for key, value in trained.state_dict().items():
        assert torch.equal(model.teachers['t'].model.state_dict()[key], value), key


def test_a_distilled_student_can_be_the_next_teacher(tmp_path: Path) -> None:
    hint = dict(type='mmvkd.FitNetsHead', tap='backbone')
    student = distiller(heads=dict(h=hint))
    path = file_of(student, tmp_path / 'distilled.pth')
    # DDP's prefix, too
    wrapped = file_of(nn.ModuleDict(dict(module=student)), tmp_path / 'wrapped.pth')
    for source in (path, wrapped):
        made = frozen(checkpoint=source)
        for key, value in made.model.state_dict().items():
            assert torch.equal(value, student.state_dict()[key]), key


def refused(path: str, match: str, model: Any = None) -> None:
    with pytest.raises(RuntimeError, match=match) as info:
        build(config(teachers=dict(t=teacher(model, path))))
    assert '\n' not in str(info.value)


def test_a_checkpoint_of_another_depth_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm()), tmp_path / 'r18.pth')
    refused(path, "does not fit the teacher 't': .*missing", tiny_tsm(50))


def test_a_checkpoint_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm(num_classes=7)), tmp_path / 'other.pth')
    refused(path, r'2 of another shape \(cls_head\.fc_cls\.weight: .*\(7, 512\)')


def test_a_checkpoint_with_a_key_too_many_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm()), tmp_path / 'x.pth', foreign=torch.zeros(1))
    refused(path, r'1 unknown keys \(as foreign\)')


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04cut'])
def test_a_corrupt_checkpoint_is_refused_in_a_line(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / 'corrupt.pth'
    path.write_bytes(content)
    refused(str(path), 'cannot be read in safe mode')


def test_a_truncated_checkpoint_is_refused_in_a_line(tmp_path: Path) -> None:
    path = Path(file_of(plain(tiny_tsm()), tmp_path / 'cut.pth'))
    path.write_bytes(path.read_bytes()[:-1000])
    refused(str(path), 'cannot be read in safe mode')


def test_an_address_that_gives_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = 'https://nowhere.example/weights.pth'

    def unavailable(*args: Any, **kwargs: Any) -> None:
        raise OSError('HTTP Error 404: Not Found')

    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', unavailable)
    refused(address, f"'{address}' of the teacher 't' cannot be fetched .*404")


@pytest.mark.parametrize('content', [torch.zeros(2), [1, 2], 3, {0: 1}])
def test_a_file_that_holds_no_state_is_refused_in_a_line(
    content: Any, tmp_path: Path
) -> None:
    path = tmp_path / 'strange.pth'
    torch.save(content, path)
    refused(str(path), 'strange.pth. holds no state dict')


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_checkpoint_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with this, which our tools set, an older torch is safe even where told not to be
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    state = plain(tiny_tsm()).state_dict()
    torch.save(dict(state_dict=state, meta=Evil(trace)), path)
    refused(str(path), 'cannot be read in safe mode')
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), 'the file does run code where it is allowed'


def test_the_file_that_a_folder_stands_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    where = 'mmvkd.models.checkpoints.print_log'
    monkeypatch.setattr(where, lambda text, **_: told.append(text))
    best = file_of(plain(tiny_tsm()), tmp_path / 'best_acc_top1_epoch_2.pth')
    os.utime(best, (1, 1))
    file_of(plain(tiny_tsm()), tmp_path / 'best_acc_top1_epoch_11.pth')
    frozen(checkpoint=best)
    assert not told
    frozen(checkpoint=str(tmp_path))
    (line,) = told
    assert line.startswith("teacher 't' reads") and line.endswith('top1_epoch_11.pth')
    other = file_of(plain(tiny_tsm()), tmp_path / 'best_acc_mean1_epoch_3.pth')
    frozen(checkpoint=str(tmp_path))
    assert told[1].endswith(other)
    assert 'several metrics (best_acc_mean1, best_acc_top1)' in told[2]
