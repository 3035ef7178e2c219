"""Peak memory of each part of a training step, in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mmvkd.evaluation.setting import BenchmarkSettings, plain
from mmvkd.evaluation.variants import TEACHERS, Bench

# the optimizer's state exists from the second step on
_STEPS = 3
# on the host, where equal ones differ by some percent; their median counts
_PROCESSES = 9


def peak_memory(
    config: Mapping[str, Any],
    setting: BenchmarkSettings,
    folder: Path,
    names: Sequence[str],
) -> dict[str, int]:
    """Peak bytes of variants by name: allocated on a GPU, resident on the host.

    Each runs in a fresh process; on the host in several, of which the median is taken.
    What a process takes that runs no variant is subtracted. The teachers' peak is that
    of their weights and one inference.

    Args:
        config: See :class:`~mmvkd.evaluation.variants.Bench`.
        setting: Likewise.
        folder: Likewise.
        names: Variants.
    """
    count = 1 if torch.device(setting.device).type == 'cuda' else _PROCESSES

    def usual(name: str) -> int:
        return round(
            median(
                _of_fresh_process(config, setting, folder, name) for _ in range(count)
            )
        )

    nothing = usual('')
    return {name: usual(name) - nothing for name in names}


def _of_fresh_process(
    config: Mapping[str, Any], setting: BenchmarkSettings, folder: Path, name: str
) -> int:
    context = multiprocessing.get_context('spawn')
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(
            _peak, plain(config), setting, folder, name, threads
        ).result()


def _peak(
    config: dict[str, Any],
    setting: BenchmarkSettings,
    folder: Path,
    name: str,
    threads: int,
) -> int:
    torch.set_num_threads(threads)
    bench = Bench(config, setting, folder)
    extra = 0
    if name:
        variant = bench.variant(name)
        for _ in range(_STEPS):
            variant.run(variant.prepare())
        extra = bench.training_only_bytes if name == TEACHERS else 0
    if bench.device.type == 'cuda':
        torch.cuda.synchronize(bench.device)
        return torch.cuda.max_memory_allocated(bench.device) - extra
    return largest_resident() - extra


def largest_resident() -> int:
    """The most bytes of memory that this process has held."""
    try:
        # on Linux, ru_maxrss also counts what the parent held when it started this one
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
