"""What a distillation step costs compared with its parts, which run in turn.

A step needs one training step of the student, one inference of the teachers and, where
heads run teachers on from the student's features, those suffixes; what it takes beyond
their sum is waste.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.logging import MessageHub

from mmvkd.evaluation.setting import BenchmarkSettings
from mmvkd.evaluation.variants import (
    CACHED,
    DISTILLATION,
    LOADED,
    STUDENT,
    SUFFIXES,
    TEACHERS,
    Bench,
    Variant,
)
from mmvkd.registry import short_type
from mmvkd.seeding import seed_shared

LOADING = 'data loading'

# a bit more where the heads are more than plain KD
_BOUND_KD, _BOUND_HEADS, _BOUND_CACHED = 1.05, 1.10, 1.05


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one value or more."""
        lower, upper = np.quantile(values, (0.25, 0.75))
        return cls(statistics.median(values), float(lower), float(upper))


@dataclass(frozen=True)
class Ratio:
    """A variant against the sum of others.

    Args:
        of: The variant.
        over: The others.
        spread: Spread of the ratios of single rounds, within which the other load of
            the machine is about the same.
        of_means: The ratio of the means, which also count what is not done in each
            step.
        of_fastest: The ratio of the fastest rounds, which were disturbed least.
        bound: What the ratio should not exceed.
    """

    of: str
    over: tuple[str, ...]
    spread: Spread
    of_means: float
    of_fastest: float
    bound: float


def by_turns(
    variants: Mapping[str, Variant], setting: BenchmarkSettings
) -> dict[str, list[float]]:
    """Seconds of each step; each round runs every variant once, a different one first.

    To the heads, a round is an iteration: they draw the same in all its variants, so
    that these can be compared, and what they compute only now and then falls into some
    of the rounds.
    """
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    clock = _clock(torch.device(setting.device))
    for number in range(setting.warmup + setting.steps):
        gc.collect()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seed_shared(number)
            MessageHub.get_current_instance().update_info('iter', number)
            given = variants[name].prepare()
            gc.disable()
            try:
                seconds = clock(variants[name].run, given)
            finally:
                gc.enable()
            if number >= setting.warmup:
                times[name].append(seconds)
    return times


def needed(names: Collection[str]) -> tuple[str, ...]:
    """The variants that a distillation step cannot do without."""
    return (STUDENT, TEACHERS, *([SUFFIXES] if SUFFIXES in names else []))


def ratios_of(times: Mapping[str, Sequence[float]], plain_kd: bool) -> list[Ratio]:
    """The ratios whose parts were all measured.

    Args:
        times: Seconds by variant, round by round.
        plain_kd: Whether KD is the only head.
    """
    bound_of_step = _BOUND_KD if plain_kd else _BOUND_HEADS
    wanted = [
        (DISTILLATION, needed(times), bound_of_step),
        (CACHED, (STUDENT,), _BOUND_CACHED),
        (f'{CACHED}{LOADED}', (f'{STUDENT}{LOADED}',), _BOUND_CACHED),
    ]
    found = []
    for of, over, bound in wanted:
        if of not in times or any(name not in times for name in over):
            continue
        sums = [sum(parts) for parts in zip(*(times[name] for name in over))]
        rounds = [step / parts for step, parts in zip(times[of], sums)]
        of_means, of_fastest = (
            typical(times[of]) / sum(typical(times[name]) for name in over)
            for typical in (statistics.fmean, min)
        )
        found.append(Ratio(of, over, Spread.of(rounds), of_means, of_fastest, bound))
    return found


@dataclass(frozen=True)
class Report:
    """What was measured.

    Args:
        about: The config, the machine and the setting, as plain values.
        times: Seconds of each step by variant.
        ratios: See :class:`Ratio`.
        memory: Peak bytes by variant, less those of an empty process.
        memory_ratios: Peaks against their bounds; see :func:`memory_ratios`.
        notes: What was not measured, and why.
    """

    about: Mapping[str, Any]
    times: Mapping[str, Sequence[float]]
    ratios: Sequence[Ratio]
    memory: Mapping[str, int]
    memory_ratios: Sequence[Mapping[str, Any]]
    notes: Sequence[str]

    def plain(self) -> dict[str, Any]:
        """The report as plain values, for a JSON file."""
        return dict(
            about=dict(self.about),
            times={
                name: dict(asdict(Spread.of(values)), steps=list(values))
                for name, values in self.times.items()
            },
            ratios=[asdict(ratio) for ratio in self.ratios],
            memory=dict(self.memory),
            memory_ratios=list(self.memory_ratios),
            notes=list(self.notes),
        )


def measure(
    config: Mapping[str, Any],
    setting: BenchmarkSettings,
    folder: Path,
    peaks: Optional[Callable[[Sequence[str]], Mapping[str, int]]] = None,
) -> Report:
    """Time the variants of a config in turn.

    Args:
        config: That of a distiller, or of a recognizer alone.
        setting: How to measure.
        folder: Empty folder for made-up weights and stores of outputs.
        peaks: Gives the peak memory of variants; None leaves it out.

    Raises:
        ValueError: if the clips' shape cannot be inferred from the config.
    """
    bench = Bench(config, setting, folder)
    notes = []
    if bench.distills and bench.caching_problem is not None:
        notes.append(f'{CACHED}: not measured; {bench.caching_problem}')
    names = list(bench.names)
    if bench.clips.loading_problem is None:
        names += bench.loaded_names
    else:
        notes.append(f'{LOADING}: not measured; {bench.clips.loading_problem}')
    variants = {name: bench.variant(name) for name in names}
    times = by_turns(variants, setting)
    if bench.clips.loading_problem is None:
        times[LOADING] = bench.clips.loading_times()
    heads = (bench.model.get('heads') or {}).values()
    kinds = [short_type(head.get('type')) for head in heads]
    memory: Mapping[str, int] = {}
    if peaks is not None:
        wanted = (STUDENT, TEACHERS, DISTILLATION, CACHED)
        memory = peaks([name for name in wanted if name in names])
    return Report(
        _about(config, bench),
        times,
        ratios_of(times, kinds == ['KDHead']),
        memory,
        memory_ratios(memory),
        notes,
    )


def memory_ratios(memory: Mapping[str, int]) -> list[dict[str, Any]]:
    """Peaks against their bounds.

    The distillation step may take as much as the plain student and a process that only
    runs the teachers (their weights and one forward pass) take together.
    """
    wanted = [(DISTILLATION, (STUDENT, TEACHERS), 1.0), (CACHED, (STUDENT,), 1.02)]
    return [
        dict(
            of=of,
            over=over,
            ratio=memory[of] / sum(memory[name] for name in over),
            bound=bound,
        )
        for of, over, bound in wanted
        if of in memory and all(name in memory for name in over)
    ]


def table(report: Report) -> str:
    """The report as lines of text."""
    width = max(map(len, report.times))
    lines = [_line(width, '', 'median', 'quartiles', 'mean', 'peak memory')]
    for name, values in report.times.items():
        spread = Spread.of(values)
        peak = report.memory.get(name)
        lines.append(
            _line(
                width,
                name,
                _time(spread.median),
                f'{_time(spread.lower)} to {_time(spread.upper)}',
                _time(statistics.fmean(values)),
                '' if peak is None else f'{peak / 2**20:,.0f} MiB',
            )
        )
    rows = [
        (
            f'{ratio.of} / ({" + ".join(ratio.over)})',
            f'{ratio.spread.median:.3f}',
            f'{ratio.spread.lower:.3f} to {ratio.spread.upper:.3f}',
            f'{ratio.of_means:.3f}',
            f'{ratio.of_fastest:.3f}',
            f'{ratio.bound:.2f}',
        )
        for ratio in report.ratios
    ] + [
        (
            f'memory: {ratio["of"]} / ({" + ".join(ratio["over"])})',
            f'{ratio["ratio"]:.3f}',
            '',
            '',
            '',
            f'{ratio["bound"]:.2f}',
        )
        for ratio in report.memory_ratios
    ]
    if rows:
        width = max(len(row[0]) for row in rows)
        heads = ('ratio', 'quartiles', 'of means', 'of fastest', 'bound')
        lines += ['', _line(width, '', *heads)]
        lines += [_line(width, *row) for row in rows]
    about = report.about
    lines += [
        '',
        f'{about["batch"]} clips of {" x ".join(map(str, about["clip"]))}, '
        f'{about["steps"]} rounds, {about["device"]}, {about["threads"]} threads, '
        f'torch {about["torch"]}',
        *report.notes,
    ]
    return '\n'.join(lines)


def _about(config: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    on_gpu = bench.device.type == 'cuda'
    device = torch.cuda.get_device_name(bench.device) if on_gpu else 'CPU'
    return dict(
        asdict(bench.setting),
        config=str(getattr(config, 'filename', None) or ''),
        device=device,
        clip=list(bench.clips.shape),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def _line(width: int, name: str, *cells: str) -> str:
    padded = [f'{cell:>{w}}' for cell, w in zip(cells, (12, 26, 12, 13, 8))]
    return f'{name:<{width}}{"".join(padded)}'.rstrip()


def _time(seconds: float) -> str:
    return f'{seconds:.3f} s' if seconds >= 1 else f'{seconds * 1e3:.2f} ms'


def _clock(device: torch.device) -> Callable[[Callable, Any], float]:
    """A function that times a call in seconds, on the device if that is a GPU."""
    if device.type != 'cuda':

        def on_host(run: Callable, given: Any) -> float:
            start = time.perf_counter()
            run(given)
            return time.perf_counter() - start

        return on_host

    def on_gpu(run: Callable, given: Any) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        run(given)
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3

    return on_gpu
