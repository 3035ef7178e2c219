"""The tool that makes Motions: what it writes, shows and refuses, and when killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Optional

import pytest
from small_project import tool

from mmvkd.datasets.motions import writing

make_motions = tool('data/make_motions')


def arguments(root: Path, train: int, *more: str, workers: int = 1) -> list[str]:
    """Arguments for so many tiny clips."""
    counts = ['--train', str(train), '--val', '0', '--test', '0']
    size = ['--size', '32', '--num-frames', '4', '--workers', str(workers)]
    return [str(root), *counts, *size, *more]


def test_the_tool_writes_and_shows_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_motions(arguments(tmp_path / 'm', 2, '--target-size', '0.3', '0.4'))
    assert '100%' in capsys.readouterr().err
    meta = json.loads((tmp_path / 'm' / 'meta.json').read_text())
    assert meta['counts'] == {'train': 2, 'val': 0, 'test': 0}
    assert meta['difficulty']['target_size'] == [0.3, 0.4]
    assert not (tmp_path / 'm' / 'motions_val_list.txt').exists()


def test_the_tool_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*argv: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as refused:
            make_motions([*argv])
        assert refused.value.code == 1
        return capsys.readouterr().err

    unreadable = told(str(tmp_path / 'm'), '--size', '24')
    start = 'error: Motions: size=24, expected one that decord can read'
    assert unreadable.startswith(start) and unreadable.count('\n') == 1
    make_motions(arguments(tmp_path / 'm', 1))
    others = told(*arguments(tmp_path / 'm', 1, '--target-size', '0.3', '0.4'))
    assert 'target_size was 0.25, now 0.3' in others
    assert others.startswith('error: ') and others.count('\n') == 1


def write_or_die(job: writing._Job) -> None:
    """What a worker does that runs out of memory at its sixth clip."""
    if job.index == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    writing._write_clip(job)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """What takes longer hangs."""

    def stop(number: int, frame: Optional[FrameType]) -> None:
        raise TimeoutError(f'not done in {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_worker_ends_the_tool_in_one_line_and_the_same_command_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = arguments(tmp_path / 'm', 6, workers=2)
    with monkeypatch.context() as patch:
        patch.setattr(writing, '_write_clip', write_or_die)
        with at_most(300), pytest.raises(SystemExit):
            make_motions(command)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: a process was killed; the same command goes on')
    assert not (tmp_path / 'm' / 'motions_train_list.txt').exists()
    with at_most(300):
        make_motions(command)
    list_file = tmp_path / 'm' / 'motions_train_list.txt'
    assert len(list_file.read_text().splitlines()) == 6
