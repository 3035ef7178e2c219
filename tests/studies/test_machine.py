"""Where the runs of a study go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from mmvkd.files import write_json
from mmvkd.studies import machine, runner
from mmvkd.studies.progress import Active
from mmvkd.studies.study import Run


@pytest.mark.parametrize(
    ('there', 'slot', 'processes', 'expected'),
    [
        ([], 1, 2, None),
        (['0'], 1, 1, '0'),
        (['0'], 0, 2, ''),  # no room: on the CPU
        (['2', '5', '6'], 4, 1, '5'),
        (['2', '5', '6'], 2, 2, '6,2'),
    ],
)
def test_each_process_of_a_run_has_an_accelerator_or_none_has(
    monkeypatch: pytest.MonkeyPatch,
    there: list[str],
    slot: int,
    processes: int,
    expected: Optional[str],
) -> None:
    monkeypatch.setattr(machine, 'devices', lambda: there)
    assert machine.visible_devices(slot, processes) == expected


def _begun(study_runner: runner.StudyRunner, run: Run) -> list[int]:
    """Begin a run as often as there is room, and give the places."""
    slots: list[int] = []
    while (slot := study_runner._free_slot(run)) is not None:
        study_runner._active[len(study_runner._active)] = Active(run, slot, 0, 0)
        slots.append(slot)
    return slots


@pytest.mark.parametrize(
    ('per_device', 'processes', 'expected'),
    [
        (1, 2, ['0,1', '2,3']),
        (1, 3, ['0,1,2']),
        (1, 5, ['']),
        (2, 3, ['0,1,2', '3,0,1']),
    ],
)
def test_no_accelerator_has_more_processes_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
    per_device: int,
    processes: int,
    expected: list[str],
) -> None:
    for module in (machine, runner):
        monkeypatch.setattr(module, 'devices', lambda: list('0123'))
        monkeypatch.setattr(module, 'has_accelerator', lambda: True)
    study: Any = SimpleNamespace(per_device=per_device)
    run = Run('run', 'run.py', seed=0, processes=processes)
    slots = _begun(runner.StudyRunner(study), run)
    assert [machine.visible_devices(slot, processes) for slot in slots] == expected


def test_on_a_cpu_free_places_need_not_be_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, 'has_accelerator', lambda: False)
    study_runner = runner.StudyRunner(SimpleNamespace(), jobs=4)  # type: ignore
    assert len(_begun(study_runner, Run('one', 'one.py', seed=0))) == 4
    for ended in (0, 2):
        del study_runner._active[ended]
    assert len(_begun(study_runner, Run('two', 'two.py', seed=0, threads=2))) == 1


def test_the_score_of_a_run_leaves_out_metrics_that_are_no_numbers(
    tmp_path: Path,
) -> None:
    metrics = {'acc/top1': 0.51234, 'confusion_matrix/result': [[3, 1], [0, 4]]}
    write_json(tmp_path / 'runs' / 'a' / 'result.json', dict(metrics=metrics))
    study: Any = SimpleNamespace(folder=tmp_path)
    assert runner._score(study, 'a') == 'acc/top1 0.5123'
