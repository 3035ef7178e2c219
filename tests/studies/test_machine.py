"""Where the runs of a study go."""

from __future__ import annotations

from typing import Optional

import pytest

from mmvkd.studies import machine


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
