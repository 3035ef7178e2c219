"""Peak memory is that of a process which does one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import ONE, bench, whole

from mmvkd.evaluation import peaks
from mmvkd.evaluation.peaks import largest_resident, peak_memory
from mmvkd.evaluation.variants import STUDENT, TEACHERS


def test_the_peak_stays_when_memory_is_given_back() -> None:
    block = np.ones(2**25)  # 256 MiB
    during = largest_resident()
    assert during > block.nbytes
    del block
    # the system counts pages in batches
    assert largest_resident() > during - 2**22


def test_a_step_is_measured_in_a_fresh_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, '_PROCESSES', 1)
    ballast = np.ones(2**26)  # 512 MiB that belong to this process alone
    (peak,) = peak_memory(whole(), ONE, tmp_path, [STUDENT]).values()
    # weights, gradients and momenta of a ResNet-18 at least
    assert 3 * 11.2e6 * 4 < peak < 3e8 < ballast.nbytes


def test_the_process_that_only_imports_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {'': 100, STUDENT: 150, TEACHERS: 130}
    monkeypatch.setattr(peaks, '_of_fresh_process', lambda *args: held[args[-1]])
    found = peak_memory(whole(), ONE, tmp_path, [STUDENT, TEACHERS])
    assert found == {STUDENT: 50, TEACHERS: 30}


def test_a_process_that_took_more_than_others_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {'': iter([0, 0, 0]), STUDENT: iter([70, 99, 60])}
    monkeypatch.setattr(peaks, '_PROCESSES', 3)
    monkeypatch.setattr(peaks, '_of_fresh_process', lambda *args: next(held[args[-1]]))
    assert peak_memory(whole(), ONE, tmp_path, [STUDENT]) == {STUDENT: 70}


def test_the_student_beside_the_teachers_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, 'largest_resident', lambda: 10**9)

    def peak(name: str) -> Any:
        return 10**9 - peaks._peak(whole(), ONE, tmp_path, name, 1)

    assert peak('') == peak(STUDENT) == 0
    model = bench(tmp_path).online
    state = [*model.parameters(), *model.buffers()]
    assert peak(TEACHERS) == sum(x.numel() * x.element_size() for x in state)
