"""The keeper of a run: a process that has it trained, tested and collected."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmvkd.files import write_text
from mmvkd.studies import outcome, processes
from mmvkd.studies.commands import Step, cache_step, run_folder, test_step, train_step
from mmvkd.studies.fingerprint import code_hash
from mmvkd.studies.machine import describe_machine, visible_devices
from mmvkd.studies.origin import recheck
from mmvkd.studies.records import ATTEMPTS
from mmvkd.studies.study import Run, Study

LOG = 'run.log'
TRAINED = 'trained'


@dataclass(frozen=True)
class Keeper:
    """The body of a run's keeper: train and test, or cache; collect.

    First and last, the run is compared with what it was to be: a config, a list or a
    run that another study made may have changed since this one began.

    Args:
        study: The study of the run.
        run: The run.
        marks: The digest of each run's fingerprint when the study began.
        slot: Place of the run among those that run at the same time.
        parent: Id of the study's process, without which nothing goes on.
        in_process: Run tools in forks, whose imports they share.
    """

    study: Study
    run: Run
    marks: Mapping[str, str]
    slot: int
    parent: int
    in_process: bool

    def __call__(self) -> int:
        """Look after the run in this process, a fork of the study; return a status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        processes.adopt_orphans()
        status = self._within(self._recheck)
        if status:
            return status
        if self.run.caches:
            step = cache_step(self.study, self.run)
        else:
            status = self._train()
            if status:
                return status
            step = test_step(self.study, self.run)
        status = self._step(step)
        if status:
            return status
        return self._within(self._collect)

    @property
    def _folder(self) -> Path:
        return run_folder(self.study, self.run.name)

    def _within(self, action: Callable[[], None]) -> int:
        """Do it in a process of its own, whose errors go to the run's log."""

        def body() -> int:
            action()
            return 0

        pid = processes.fork(body, self._folder / LOG)
        return _shell_status(processes.keep(pid, self.parent))

    def _recheck(self) -> None:
        if not self.in_process or self.run.processes > 1:
            code_hash.cache_clear()  # its tools read the code when they start
        recheck(self.study, self.run, self.marks)

    def _collect(self) -> None:
        self._recheck()
        outcome.collect(self.study, self.run, self.marks[self.run.name])

    def _train(self) -> int:
        if (self._folder / TRAINED).is_file():
            return 0
        resume = (self._folder / 'last_checkpoint').is_file()
        status = self._step(train_step(self.study, self.run, resume), resume)
        if not status:
            write_text(self._folder / TRAINED, '')
        return status

    def _step(self, step: Step, resumed: bool = False) -> int:
        """Call a tool, and note what it took."""
        variables = {**step.environment, 'PYTHON': sys.executable}
        visible = visible_devices(self.slot, self.run.processes)
        if visible is not None:
            variables['CUDA_VISIBLE_DEVICES'] = visible
        forked = self.in_process and not step.script.endswith('.sh')
        start = time.time()
        pid = processes.fork(
            lambda: processes.call_tool(step.argv(), variables, forked),
            self._folder / LOG,
        )
        status = processes.keep(pid, self.parent)
        entry = dict(
            step=step.name,
            seconds=round(time.time() - start, 1),
            status=status,
            resumed=resumed,
            machine=describe_machine(),
        )
        with open(self._folder / ATTEMPTS, 'a', encoding='utf-8') as file:
            file.write(json.dumps(entry) + '\n')
        return _shell_status(status)


def _shell_status(status: int) -> int:
    """An exit status that encodes a signal as shells do."""
    return 128 - status if status < 0 else status
