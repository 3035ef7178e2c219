"""The parts of a step are timed by turns, compared and reported."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import ONE, bench, loading, staged, whole
from mmengine.logging import MessageHub

from mmvkd.evaluation import benchmark
from mmvkd.evaluation.benchmark import (
    LOADING,
    Report,
    Spread,
    by_turns,
    measure,
    memory_ratios,
    ratios_of,
    table,
)
from mmvkd.evaluation.setting import BenchmarkSettings
from mmvkd.evaluation.variants import (
    CACHED,
    DISTILLATION,
    STUDENT,
    SUFFIXES,
    TEACHERS,
    Bench,
    Variant,
)

# Time


class Steps:
    """Variants that note when they run, on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **costs: float) -> None:
        self.log: list[str] = []
        self.now = 0.0
        monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: self.now)
        self.variants = {
            name: Variant(partial(self.run, name, cost), partial(self.prepare, name))
            for name, cost in costs.items()
        }

    def prepare(self, name: str) -> str:
        self.now += 100
        return f'for {name}'

    def run(self, name: str, cost: float, given: str) -> None:
        assert given == f'for {name}'
        self.log.append(name)
        self.now += cost


def test_variants_take_turns_and_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, a=1, b=2, c=3)
    times = by_turns(steps.variants, BenchmarkSettings(steps=2, warmup=1))
    assert steps.log == [*'abc', *'bca', *'cab']
    # preparing does not count
    assert times == dict(a=[1, 1], b=[2, 2], c=[3, 3])


def test_a_round_is_an_iteration_to_the_heads() -> None:
    seen: list[int] = []
    hub = MessageHub.get_current_instance()
    variant = Variant(lambda _: seen.append(hub.get_info('iter')))
    by_turns(dict(a=variant, b=variant), BenchmarkSettings(steps=2, warmup=1))
    assert seen == [0, 0, 1, 1, 2, 2]


def test_ratios_are_of_rounds_and_of_means() -> None:
    times = {STUDENT: [1, 2, 4], TEACHERS: [1, 2, 4], DISTILLATION: [2, 6, 12]}
    (ratio,) = ratios_of(times, plain_kd=True)
    assert ratio.spread == Spread(1.5, 1.25, 1.5)
    assert ratio.of_means == pytest.approx(20 / 14)
    assert ratio.of_fastest == 1
    assert ratio.bound == 1.05
    (looser,) = ratios_of(times, plain_kd=False)
    assert looser.bound == 1.10
    both = ratios_of({**times, CACHED: [1, 2, 5]}, plain_kd=True)
    assert [r.of for r in both] == [DISTILLATION, CACHED]
    assert both[1].spread.median == 1
    (staged,) = ratios_of({**times, SUFFIXES: [1, 2, 4]}, plain_kd=False)
    assert staged.over == (STUDENT, TEACHERS, SUFFIXES)
    assert (staged.spread.median, staged.of_fastest) == (1, 2 / 3)
    assert ratios_of({STUDENT: [1]}, plain_kd=True) == []


def test_memory_is_compared_with_what_a_step_needs() -> None:
    peaks = {STUDENT: 100, TEACHERS: 60, DISTILLATION: 120, CACHED: 102}
    step, cached = memory_ratios(peaks)
    assert (step['of'], step['ratio'], step['bound']) == (DISTILLATION, 0.75, 1.0)
    assert (cached['of'], cached['ratio'], cached['bound']) == (CACHED, 1.02, 1.02)
    assert memory_ratios({STUDENT: 100}) == []


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(batch=0), 'batch must be 1 or more, got 0'),
        (dict(steps=0), 'steps must be 1 or more, got 0'),
    ],
)
def test_a_wrong_setting_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        BenchmarkSettings(**wrong)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match="device 'cuda': torch sees no CUDA device"):
        BenchmarkSettings(device='cuda')


# The report


def test_a_report_has_every_part_as_text_and_as_plain_values(tmp_path: Path) -> None:
    asked: list[Any] = []

    def peaks(names: Any) -> dict[str, int]:
        asked.extend(names)
        return dict.fromkeys(names, 2**20)

    report = measure(
        whole(), BenchmarkSettings(2, 32, steps=2, warmup=0), tmp_path, peaks
    )
    assert asked == [STUDENT, TEACHERS, DISTILLATION, CACHED]
    assert list(report.times) == Bench(whole(), ONE, tmp_path).names
    assert all(len(values) == 2 for values in report.times.values())
    told = json.loads(json.dumps(report.plain()))
    assert told['about']['clip'] == [4, 3, 32, 32] and told['about']['batch'] == 2
    assert {'median', 'lower', 'upper', 'steps'} == set(told['times'][STUDENT])
    assert [ratio['of'] for ratio in told['ratios']] == [DISTILLATION, CACHED]
    assert told['ratios'][0]['over'] == [STUDENT, TEACHERS]
    assert [ratio['ratio'] for ratio in told['memory_ratios']] == [0.5, 1.0]
    text = table(report)
    for name in (*report.times, f'{DISTILLATION} / ({STUDENT} + {TEACHERS})'):
        lines = [line for line in text.splitlines() if line.startswith(f'{name}  ')]
        assert len(lines) == 1, name
    assert '2 clips of 4 x 3 x 32 x 32, 2 rounds, CPU' in text


def test_a_report_says_why_no_cached_step_was_measured(tmp_path: Path) -> None:
    asked: list[str] = []

    def peaks(names: Any) -> dict[str, int]:
        asked.extend(names)
        return dict.fromkeys(names, 2**20)

    report = measure(staged(), ONE, tmp_path, peaks)
    assert list(report.times) == bench(tmp_path, staged()).names
    assert asked == [STUDENT, TEACHERS, DISTILLATION]
    note, _ = report.notes
    assert note.startswith(f"{CACHED}: not measured; head 'substage': teacher 't' is")
    (ratio,) = report.ratios
    assert ratio.over == (STUDENT, TEACHERS, SUFFIXES)


def test_a_missing_data_set_is_noted_and_the_rest_measured(tmp_path: Path) -> None:
    loader = loading(str(tmp_path / 'none.txt'))
    report = measure(whole(train_dataloader=loader), ONE, tmp_path / 'stores')
    assert LOADING not in report.times
    (note,) = report.notes
    assert note.startswith(f'{LOADING}: not measured;') and 'none.txt' in note


def test_a_recognizer_alone_is_reported_without_ratios() -> None:
    report = Report(
        dict(batch=1, clip=[4, 3, 8, 8], steps=1, device='CPU', threads=1, torch='2'),
        {STUDENT: [0.5]},
        [],
        {STUDENT: 3 * 2**20},
        [],
        ['a note'],
    )
    assert table(report).splitlines() == [
        '                  median                 quartiles        mean  peak memory',
        'student step   500.00 ms    500.00 ms to 500.00 ms   500.00 ms        3 MiB',
        '',
        '1 clips of 4 x 3 x 8 x 8, 1 rounds, CPU, 1 threads, torch 2',
        'a note',
    ]
