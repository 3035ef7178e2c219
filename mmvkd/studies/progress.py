"""How far a study is, and how long it will take."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from mmvkd.files import read_json
from mmvkd.studies import outcome
from mmvkd.studies.commands import run_folder
from mmvkd.studies.records import FINGERPRINT, times
from mmvkd.studies.study import Run, Study
from mmvkd.studies.summary import duration

_NEWS = 60  # seconds between lines of progress without a terminal
_TRAINING = 0.98  # of a run: after its last epoch the test is still to come


class Active(NamedTuple):
    """A run in progress.

    Args:
        run: The run.
        slot: Its place among those that run at the same time.
        since: When it was started, in seconds since the epoch.
        done: Share of the run that was done by then.
    """

    run: Run
    slot: int
    since: float
    done: float


class Progress:
    """Tells how far a study is.

    Args:
        study: The study.
        wanted: Names of the runs to execute.
        active: The runs in progress, by process id; changed by who executes them.
        failed: Names of the runs that failed; likewise.
        share: The share that a run takes of what can run at the same time.
    """

    def __init__(
        self,
        study: Study,
        wanted: Sequence[str],
        active: Mapping[int, Active],
        failed: Collection[str],
        share: Callable[[Run], float],
    ) -> None:
        self.study = study
        self.wanted = wanted
        self.active = active
        self.failed = failed
        self.share = share
        self._told = 0.0

    def tell(self, say: Callable[[str], None]) -> None:
        """Show the status if it is time: in the terminal's last line, or by ``say``."""
        terminal = sys.stderr.isatty()
        if time.time() - self._told < (1 if terminal else _NEWS):
            return
        if terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{self.status()[:width]:{width}}', end='\r', file=sys.stderr)
        elif self._told:
            say(self.status())
        self._told = time.time()

    def status(self) -> str:
        """One line: what is finished, in progress and failed, and the time to go."""
        total = len(self.wanted)
        done = sum(is_finished(self.study, name) for name in self.wanted)
        parts = [f'{done} of {total} runs finished']
        for active in self.active.values():
            share = share_done(run_folder(self.study, active.run.name))
            parts.append(f'{active.run.name} {100 * share:.0f} %')
        if self.failed:
            parts.append(f'{len(self.failed)} failed')
        left = self._seconds_left()
        if left is not None and done < total:
            parts.append(f'about {duration(left)} to go')
        return f'[{self.study.name}] ' + ', '.join(parts)

    def _seconds_left(self) -> Optional[float]:
        """Estimated from the pace of runs of the same config, or else of all."""
        spent = self._spent()
        everything = [seconds for each in spent.values() for seconds in each]
        if not everything:
            return None
        left = 0.0
        for name in self.wanted:
            if name not in self.failed and not is_finished(self.study, name):
                run = self.study.runs[name]
                known = spent.get(run.config, everything)
                open_share = 1 - share_done(run_folder(self.study, name))
                left += sum(known) / len(known) * open_share * self.share(run)
        return left

    def _spent(self) -> dict[str, list[float]]:
        """Seconds that whole runs took, or will at their pace, by config."""
        spent: dict[str, list[float]] = {}
        for name, entry in times(self.study)['runs'].items():
            if is_finished(self.study, name):
                config = self.study.runs[name].config
                spent.setdefault(config, []).append(entry['seconds'])
        for active in self.active.values():
            folder = run_folder(self.study, active.run.name)
            gone = share_done(folder) - active.done
            if gone > 0:
                pace = (time.time() - active.since) / gone
                spent.setdefault(active.run.config, []).append(pace)
        return spent


def is_finished(study: Study, name: str) -> bool:
    """Whether the run has its result."""
    return (run_folder(study, name) / outcome.RESULT).is_file()


def share_done(folder: Path) -> float:
    """The share of a run that is done, told from its epochs."""
    if (folder / outcome.RESULT).is_file():
        return 1.0
    pointer = folder / 'last_checkpoint'
    last = Path(pointer.read_text()).name if pointer.is_file() else ''
    found = re.search(r'epoch_(\d+)', last)
    print_ = read_json(folder / FINGERPRINT) or {}
    epochs = (print_.get('config') or {}).get('train_cfg.max_epochs', '0')
    if not found or not int(epochs):
        return 0.0
    return _TRAINING * min(1.0, int(found[1]) / int(epochs))
