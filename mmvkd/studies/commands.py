"""The command lines of a run, as the study calls them and as it prints them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mmvkd.engine.launch import Options
from mmvkd.models.checkpoints import find_checkpoint
from mmvkd.studies.study import Run, Study, StudyError
from mmvkd.tool_commands import tools_folder

PREDICTIONS = 'predictions.pkl'
METRICS = 'metrics.json'


@dataclass(frozen=True)
class Step:
    """A call of one of our tools.

    Args:
        name: ``train``, ``test`` or ``cache``.
        script: File name of the tool.
        arguments: Arguments of the tool.
        environment: Variables that are set.
        checkpoint: The file that a test scores; '' in other calls.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    checkpoint: str = ''

    def argv(self) -> list[str]:
        """The arguments of a process that runs it here."""
        interpreter = 'bash' if self.script.endswith('.sh') else sys.executable
        return [interpreter, str(tools_folder() / self.script), *self.arguments]

    def line(self) -> str:
        """The line that runs it in a reader's shell, in a checkout."""
        words = [f'{key}={shlex.quote(v)}' for key, v in self.environment.items()]
        if not self.script.endswith('.sh'):
            words.append('python')
        words.append(f'tools/{self.script}')
        return ' '.join([*words, *map(shlex.quote, self.arguments)])


def run_folder(study: Study, name: str) -> Path:
    """Where the run's logs, checkpoints and results are."""
    return study.folder / 'runs' / name


def train_step(study: Study, run: Run, resume: bool = False) -> Step:
    """The training of a run.

    Args:
        study: The study of the run.
        run: The run. The best checkpoints of runs that it needs are known only once
            those have finished.
        resume: Go on from the last checkpoint.
    """
    folder = run_folder(study, run.name)
    count = (str(run.processes),) if run.processes > 1 else ()
    options = _options({**run.options, **_needs(study, run)})
    place = ('--work-dir', folder.as_posix(), '--seed', str(run.seed))
    return Step(
        'train',
        'dist_train.sh' if count else 'train.py',
        (run.config, *count, *place, *options, *(('--resume',) if resume else ())),
        _environment(run),
    )


def cache_step(study: Study, run: Run) -> Step:
    """The storing of a teacher's outputs; it goes on where it was stopped."""
    store = {f'model.teachers.{run.caches}.store': _store(study, run.name)}
    options = _options({**run.options, **_needs(study, run), **store})
    return Step('cache', 'cache_teacher.py', (run.config, *options), _environment(run))


def make_step(study: Study, run: Run) -> Step:
    """The call that makes what other runs may need."""
    return cache_step(study, run) if run.caches else train_step(study, run)


def test_step(study: Study, run: Run) -> Step:
    """The test of the best checkpoint, or of the last one where no best is kept.

    Raises:
        FileNotFoundError: if there is none.
    """
    folder = run_folder(study, run.name)
    found = find_checkpoint(str(folder))
    if found is None:
        raise FileNotFoundError(f"run '{run.name}' left no checkpoint in {folder}")
    metrics, predictions = (folder / name for name in (METRICS, PREDICTIONS))
    outputs = ('--out', metrics.as_posix(), '--dump', predictions.as_posix())
    place = ('--work-dir', (folder / 'test').as_posix())
    stores = {k: v for k, v in _needs(study, run).items() if k.endswith('.store')}
    options = _options({**run.options, **stores})
    return Step(
        'test',
        'test.py',
        (run.config, found, *place, *outputs, *options),
        _environment(run),
        checkpoint=found,
    )


def _needs(study: Study, run: Run) -> dict[str, str]:
    return {key: _made(study, key, name) for key, name in run.needs.items()}


def _made(study: Study, key: str, name: str) -> str:
    """The value that an option gets for a needed run.

    A teacher gets the run's folder, for its best checkpoint, or its store; any other
    option gets a file.
    """
    if study.runs[name].caches:
        return _store(study, name)
    folder = run_folder(study, name).as_posix()
    if key.startswith('model.teachers.'):
        return folder
    return find_checkpoint(folder) or f'{folder}/best_checkpoint_of_it.pth'


def _store(study: Study, name: str) -> str:
    return (run_folder(study, name) / 'store').as_posix()


def _environment(run: Run) -> dict[str, str]:
    return {**run.environment, 'OMP_NUM_THREADS': str(run.threads)}


def _options(options: Mapping[str, Any]) -> tuple[str, ...]:
    if not options:
        return ()
    return ('--cfg-options', *(f'{k}={option(k, v)}' for k, v in options.items()))


def option(key: str, value: Any) -> str:
    """A value as ``--cfg-options`` reads it.

    Raises:
        StudyError: if a command line cannot hold it.
    """
    text = _text(value)
    try:
        read: Optional[Any] = Options._parse_iterable(text)
    except (AssertionError, ValueError, IndexError):
        read = None
    same = list(read) if isinstance(read, tuple) else read
    wanted = list(value) if isinstance(value, tuple) else value
    if same != wanted or type(same) is not type(wanted):
        raise StudyError(
            f'option {key}={value!r} cannot be written on a command line; put it into '
            'a config file'
        )
    return text


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        marks = '[]' if isinstance(value, list) else '()'
        return marks[0] + ','.join(map(_text, value)) + marks[1]
    return str(value)
