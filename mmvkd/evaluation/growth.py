"""How the cost of a step grows with teachers, frames, classes and processes."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmvkd.cores import usable_cores
from mmvkd.evaluation.benchmark import Spread, by_turns, needed
from mmvkd.evaluation.setting import BenchmarkSettings, plain
from mmvkd.evaluation.variants import DISTILLATION, HEAD, STUDENT, Bench
from mmvkd.models.heads.base import of_teacher
from mmvkd.models.recognizers import recognizer_config, student_config

AXES: Mapping[str, Sequence[int]] = dict(
    teachers=(1, 2, 4, 8),
    frames=(8, 16, 32),
    classes=(10, 100, 400, 700),
    processes=(1, 2, 4, 8),
)
_HEADS = 'heads alone'


@dataclass(frozen=True)
class Point:
    """Seconds of each variant at one point of an axis."""

    value: int
    times: Mapping[str, Sequence[float]]

    @property
    def parts(self) -> str:
        """Name of the line that shows the sum of all that a step needs."""
        return ' + '.join(needed(self.times))

    def series(self) -> dict[str, Spread]:
        """What the picture shows: the step, its parts and their sum."""
        heads = [values for name, values in self.times.items() if name.startswith(HEAD)]
        parts = [self.times[name] for name in needed(self.times)]
        found = {
            DISTILLATION: self.times[DISTILLATION],
            self.parts: [sum(each) for each in zip(*parts)],
            STUDENT: self.times[STUDENT],
        }
        if heads:
            found[_HEADS] = [sum(each) for each in zip(*heads)]
        return {name: Spread.of(values) for name, values in found.items()}


def growth(
    config: Mapping[str, Any],
    axis: str,
    setting: BenchmarkSettings,
    say: Callable[[str], None] = print,
) -> list[Point]:
    """Time the step along an axis.

    Args:
        config: That of a distiller.
        axis: One of :data:`AXES`. There are at most as many processes as cores or, on
            GPUs, as GPUs; each has a batch of its own.
        setting: How each point is measured.
        say: Called with lines of progress.

    Raises:
        ValueError: if the config has no teachers.
    """
    if not plain(config['model']).get('teachers'):
        raise ValueError('the growth of a distillation step needs a config of one')
    points = []
    for value in _values(axis, setting):
        changed, point = at(config, axis, value), setting
        if axis == 'frames':
            point = replace(setting, frames=value)
        with tempfile.TemporaryDirectory() as folder:
            processes = value if axis == 'processes' else 1
            times = _timed(changed, point, Path(folder), processes)
        points.append(Point(value, times))
        median = Spread.of(times[DISTILLATION]).median
        say(f'{axis} {value}: {median:.3f} s')
    return points


def at(config: Mapping[str, Any], axis: str, value: int) -> dict[str, Any]:
    """The config with ``value`` teachers, frames or classes."""
    config = plain(config)
    model = config['model']
    model['student'] = student_config(config)
    teachers = model['teachers']
    for teacher in teachers.values():
        teacher['model'] = recognizer_config(teacher['model'])
    if axis == 'teachers':
        (name, first), *_ = teachers.items()
        model['teachers'] = {
            f'{name}_{i}': copy.deepcopy(first) for i in range(1, value + 1)
        }
        for head in (model.get('heads') or {}).values():
            head.pop('teachers', None)
            if 'teacher_tap' in head:
                head['teacher_tap'] = of_teacher(head['teacher_tap'], name)
    for recognizer in (model['student'], *(t['model'] for t in teachers.values())):
        if axis == 'classes':
            recognizer['cls_head']['num_classes'] = value
        elif axis == 'frames':
            for part in (recognizer['backbone'], recognizer['cls_head']):
                if part.get('num_segments') is not None:
                    part['num_segments'] = value
    return config


def _values(axis: str, setting: BenchmarkSettings) -> list[int]:
    values = list(AXES[axis])
    if axis == 'processes':
        on_gpu = torch.device(setting.device).type == 'cuda'
        most = torch.cuda.device_count() if on_gpu else usable_cores()
        values = [value for value in values if value <= most]
    return values


def _timed(
    config: dict[str, Any], setting: BenchmarkSettings, folder: Path, processes: int
) -> dict[str, list[float]]:
    """Seconds of each variant, in the first of several processes."""
    if processes == 1:
        return _times(config, setting, folder)
    threads = max(1, torch.get_num_threads() // processes)
    torch.multiprocessing.spawn(
        _one_of, (config, setting, folder, processes, threads), nprocs=processes
    )
    return json.loads((folder / 'times.json').read_text(encoding='utf-8'))


def _times(
    config: dict[str, Any], setting: BenchmarkSettings, folder: Path
) -> dict[str, list[float]]:
    bench = Bench(config, setting, folder)
    variants = {name: bench.variant(name) for name in bench.online_names}
    return by_turns(variants, setting)


def _one_of(
    rank: int,
    config: dict[str, Any],
    setting: BenchmarkSettings,
    folder: Path,
    processes: int,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    on_gpu = torch.device(setting.device).type == 'cuda'
    if on_gpu:
        setting = replace(setting, device=f'cuda:{rank}')
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        'nccl' if on_gpu else 'gloo',
        init_method=f'file://{folder / "meeting"}',
        rank=rank,
        world_size=processes,
    )
    try:
        times = _times(config, setting, folder)
        if rank == 0:
            path = folder / 'times.json'
            path.write_text(json.dumps(times), encoding='utf-8')
    finally:
        torch.distributed.destroy_process_group()


def plain_growth(found: Mapping[str, Sequence[Point]]) -> dict[str, Any]:
    """The points as plain values, for a JSON file."""
    return {
        axis: [
            dict(
                value=point.value,
                times={name: list(values) for name, values in point.times.items()},
                series={name: asdict(s) for name, s in point.series().items()},
            )
            for point in points
        ]
        for axis, points in found.items()
    }
