"""Where the runs of a study go."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from mmvkd.files import write_json
from mmvkd.studies import machine, runner


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


def test_the_score_of_a_run_leaves_out_metrics_that_are_no_numbers(
    tmp_path: Path,
) -> None:
    metrics = {'acc/top1': 0.51234, 'confusion_matrix/result': [[3, 1], [0, 4]]}
    write_json(tmp_path / 'runs' / 'a' / 'result.json', dict(metrics=metrics))
    study: Any = SimpleNamespace(folder=tmp_path)
    assert runner._score(study, 'a') == 'acc/top1 0.5123'
