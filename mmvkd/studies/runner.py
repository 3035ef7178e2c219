"""Runs a study: each run once, several at a time, resumed after any kill."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Optional

from mmvkd.cores import usable_cores
from mmvkd.files import read_json, write_json, write_text
from mmvkd.studies import outcome, processes
from mmvkd.studies.commands import make_step, run_folder
from mmvkd.studies.fingerprint import fingerprint
from mmvkd.studies.keeper import LOG, Keeper
from mmvkd.studies.machine import describe_machine, devices, has_accelerator
from mmvkd.studies.origin import settle
from mmvkd.studies.progress import Active, Progress, is_finished, share_done
from mmvkd.studies.records import (
    FAILED,
    FINGERPRINT,
    LATENCY,
    RESULTS,
    TIMES,
    results,
    times,
)
from mmvkd.studies.study import Run, Study, StudyError

_KILLS = 3  # that a run survives in one call of the study
_PAUSE = 0.2


class StudyRunner:
    """Executes the open runs of a study.

    Args:
        study: The study to run.
        jobs: Processes at a time, of one thread each on a CPU; default: as many as
            there are cores or, with accelerators, the study's ``per_device`` on each.
        only: The methods to run; none for all.
        fresh: Move runs of other origin aside instead of refusing to go on.
        in_process: Run tools in forks of this process, whose imports they share; it
            must not have used threads of torch or an accelerator.
        say: Called with lines of progress.
    """

    def __init__(
        self,
        study: Study,
        jobs: Optional[int] = None,
        only: Sequence[str] = (),
        fresh: bool = False,
        in_process: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self.study = study
        self.jobs = jobs
        self.only = only
        self.fresh = fresh
        self.in_process = in_process
        self.say = say
        self._marks: dict[str, str] = {}
        self._active: dict[int, Active] = {}  # by process id of the keeper
        self._failed: set[str] = set()
        self._kills: Counter[str] = Counter()

    def execute(self) -> bool:
        """Execute the open runs; return whether all succeeded.

        Raises:
            StudyError: if another process runs the study, or if runs in its folder are
                of other code, config or data.
        """
        wanted = self.study.runs_of(self.only)
        self.study.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._marks = settle(self.study, self.fresh, self.say)
            processes.adopt_orphans()
            try:
                self._loop(wanted)
                self._measure_latency()
            finally:
                processes.end_children()
                self._write()
        return not self._failed

    def _loop(self, wanted: Sequence[str]) -> None:
        order = [self.study.runs[name] for name in wanted]
        progress = Progress(
            self.study,
            wanted,
            self._active,
            self._failed,
            share=lambda run: self._weight(run) / self.width,
        )
        self._write()
        self.say(progress.status())
        while True:
            for run in order:
                slot = self._free_slot(run)
                if slot is not None and self._is_ready(run):
                    self._start(run, slot)
            if not self._active:
                return
            self._wait(progress)
            progress.tell(self.say)

    # scheduling

    def _is_ready(self, run: Run) -> bool:
        return (
            not is_finished(self.study, run.name)
            and run.name not in self._failed
            and all(active.run.name != run.name for active in self._active.values())
            and all(is_finished(self.study, need) for need in run.needs.values())
        )

    def _free_slot(self, run: Run) -> Optional[int]:
        """The first of as many free places as the run needs, None if there are none.

        With accelerators they are in a row, as those that the run sees are.
        """
        need = self._weight(run)
        active = [(a.slot, self._weight(a.run)) for a in self._active.values()]
        if not has_accelerator():
            used = sum(weight for _, weight in active)
            return used if used + need <= self.width else None
        taken = {slot + i for slot, weight in active for i in range(weight)}
        starts = range(self.width - need + 1)
        free = (s for s in starts if taken.isdisjoint(range(s, s + need)))
        return next(free, None)

    def _weight(self, run: Run) -> int:
        threads = 1 if has_accelerator() else run.threads
        return min(run.processes * threads, self.width)

    @property
    def width(self) -> int:
        """Processes at a time, of one thread each on a CPU."""
        if self.jobs is not None:
            return max(1, self.jobs)
        if has_accelerator():
            return self.study.per_device * len(devices())
        return usable_cores()

    # a run

    def _start(self, run: Run, slot: int) -> None:
        folder = run_folder(self.study, run.name)
        if folder.is_symlink():
            # the study from which it was taken has begun it anew
            folder.unlink()
            write_json(folder / FINGERPRINT, fingerprint(run, self._marks))
        (folder / FAILED).unlink(missing_ok=True)
        keeper = Keeper(
            self.study, run, self._marks, slot, os.getpid(), self.in_process
        )
        pid = processes.fork(keeper, keeper=True)
        self._active[pid] = Active(run, slot, time.time(), share_done(folder))

    def _wait(self, progress: Progress) -> None:
        """Wait until a run ends or some time has passed."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(_PAUSE)
            return
        active = self._active.pop(pid, None)
        if active is None:
            return
        # left by a keeper that was killed
        processes.end_children(list(self._active))
        name, code = active.run.name, processes.exit_code(status)
        killed = code < 0 or code > 128
        if code == 0 and is_finished(self.study, name):
            self._write()
            self.say(f'{name}: {_score(self.study, name)}\n{progress.status()}')
        elif killed and self._kills[name] < _KILLS:
            self._kills[name] += 1
            number = -code if code < 0 else code - 128
            self.say(
                f'{name} was killed (signal {number}); it goes on from its last epoch'
            )
        else:
            self._fail(active.run, code)

    def _fail(self, run: Run, code: int) -> None:
        log = run_folder(self.study, run.name) / LOG
        failure = dict(status=code, reason=_last_error(log), log=log.as_posix())
        write_json(run_folder(self.study, run.name) / FAILED, failure)
        self._failed.add(run.name)
        waiting = [
            other
            for other in self.study.runs
            if run.name in self.study.chain(other)[:-1]
        ]
        more = f'; {len(waiting)} runs that need it stay open' if waiting else ''
        self._write()
        self.say(
            f'{run.name} FAILED{more}: {failure["reason"]}\n'
            f'  log: {log}\n'
            f'  alone: {make_step(self.study, run).line()}\n'
            '  once mended, the same study command goes on'
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; leftovers of a killed one get some seconds to end."""
        file = os.open(self.study.folder / '.lock', os.O_RDWR | os.O_CREAT, 0o644)
        for _ in range(200):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        else:
            raise StudyError(f'another process runs the study in {self.study.folder}')
        try:
            yield
        finally:
            os.close(file)

    # what is kept

    def _measure_latency(self) -> None:
        """Time each model, while no run is in progress; once on each machine."""
        file = self.study.folder / LATENCY
        of_machines = read_json(file) or {}
        known = of_machines.setdefault(describe_machine(), {})
        for run in self.study.runs.values():
            result = read_json(run_folder(self.study, run.name) / outcome.RESULT) or {}
            key = (result.get('model') or {}).get('key')
            if key is None or key in known:
                continue
            scratch = self.study.folder / '.latency'
            body = partial(_write_latency, run, scratch)
            pid = processes.fork(body, self.study.folder / 'latency.log')
            if processes.exit_code(os.waitpid(pid, 0)[1]) == 0:
                known[key] = float(scratch.read_text())
                write_json(file, of_machines)
            scratch.unlink(missing_ok=True)

    def _write(self) -> None:
        write_json(self.study.folder / RESULTS, results(self.study))
        write_json(self.study.folder / TIMES, times(self.study))


def _write_latency(run: Run, file: Path) -> int:
    """Time the run's model; return a status for the process that it was done in."""
    write_text(file, f'{outcome.latency(run):.1f}')
    return 0


def _last_error(log: Path) -> str:
    """The line of the log that says why a run failed."""
    lines = log.read_text(errors='replace').splitlines() if log.is_file() else []
    lines = [line.strip() for line in lines if line.strip()]
    told = [line for line in lines if re.match(r'(error|\w*Error)\b', line)]
    return (told or lines or ['no output'])[-1][:300]


def _score(study: Study, name: str) -> str:
    result = read_json(run_folder(study, name) / outcome.RESULT)
    metrics = result.get('metrics')
    if metrics is None:
        return 'stored'
    # a metric may also be a table, as that of ConfusionMatrix is
    numbers = {k: v for k, v in metrics.items() if type(v) in (int, float)}
    return ', '.join(f'{k} {v:.4g}' for k, v in numbers.items())
