"""One-line errors of the command-line tools, for a user whose run cannot start."""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import re
import sys
import traceback
from types import FrameType, TracebackType
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.registry import Registry, root
from mmengine.runner import Runner

from mmvkd.errors import UnreadableClipError

# methods in which a data set reads its list, not its clips
_READING = ('full_init', 'load_data_list')


class ClearErrors:
    """Ends a tool with status 1 and one line that starts with ``error:``.

    An error before the first step (reading, building, checking, initializing) is shown
    as that line alone, and so is an unreadable clip. An error within the loop keeps its
    traceback, and the line comes last. Where ``MMVKD_ERROR_FILE`` names a file, the
    first process to fail writes the line there instead, for a launcher to show.

    Args:
        trace: Always show the traceback, as ``MMVKD_TRACEBACK=1`` does.
    """

    def __init__(self, trace: bool = False) -> None:
        self.trace = trace or os.environ.get('MMVKD_TRACEBACK', '0') not in ('', '0')
        self.stepped = False

    @staticmethod
    def add_argument(parser: argparse.ArgumentParser) -> None:
        """Add ``--traceback``, whose value is meant for ``trace``."""
        parser.add_argument(
            '--traceback', action='store_true', help='show where an error comes from'
        )

    def watch(self, runner: Runner) -> None:
        """Notice the runner's first step."""
        runner.register_hook(_FirstStepHook(self), priority='VERY_HIGH')

    def __enter__(self) -> ClearErrors:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Turn an exception, but not an interrupt, into the line."""
        if not isinstance(error, Exception):
            return
        sys.stdout.flush()
        in_loop = self.stepped and not isinstance(error, UnreadableClipError)
        if self.trace or in_loop:
            traceback.print_exception(kind, error, trace)
        line = f'error: {describe(error)}'
        if not self.trace and not in_loop:
            line += ' (--traceback shows where)'
        _tell(line)
        sys.exit(1)


class _FirstStepHook(Hook):
    """Notes that the loop has begun."""

    def __init__(self, errors: ClearErrors) -> None:
        self.errors = errors

    def _before_iter(self, *args: Any, **kwargs: Any) -> None:
        self.errors.stepped = True


def describe(error: Exception) -> str:
    """The gist of an exception in one line.

    An unknown ``type`` or setting in a config comes with similar names, an error in a
    data set with its list. Of an error in a data loader's worker, only the original
    message is shown.
    """
    report = _Report(error)
    for rule in _RULES:
        line = rule(report)
        if line is not None:
            return line
    return report.line


class _Report:
    """An exception, taken apart for the rules.

    Args:
        error: The exception.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        # of a KeyError, str gives the quoted key
        quoted = isinstance(error, KeyError) and error.args
        self.text = str(error.args[0]) if quoted else str(error)
        lines = [line.strip() for line in self.text.splitlines()]
        self.lines = [line for line in lines if line]
        self.frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        # the list that a data set was reading, and the form of its lines
        self.annotations: Optional[str] = None
        self.form = ''
        if any(frame.f_code.co_name in _READING for frame in self.frames):
            found = _last([_list_of(frame) for frame in self.frames])
            self.annotations, self.form = found or (None, '')

    @property
    def line(self) -> str:
        """The first line, and the second where the first announces it."""
        announces = self.lines[0].endswith(':') and len(self.lines) > 1
        return ' '.join(self.lines[: 2 if announces else 1])


def _short_line_of_list(report: _Report) -> Optional[str]:
    """A line of a list that has too few fields, or too many."""
    if not report.annotations:
        return None
    if not isinstance(report.error, (IndexError, AssertionError)):
        return None
    return (
        f"'{report.annotations}' is unfit: a line in it is not '{report.form}'; where "
        "names have blanks, write another mark and say the data set's delimiter"
    )


def _without_message(report: _Report) -> Optional[str]:
    """An exception that says nothing: its type and place."""
    if report.lines:
        return None
    last = traceback.extract_tb(report.error.__traceback__)[-1:]
    where = ''.join(f' at {f.filename}:{f.lineno}: {f.line}' for f in last)
    return type(report.error).__name__ + where


def _of_worker(report: _Report) -> Optional[str]:
    """What went wrong in a process of a data loader."""
    if 'Original Traceback' not in report.text:
        return None
    return re.sub(r'^[\w.]*(Error|Exception): ', '', report.lines[-1])


def _unknown_type(report: _Report) -> Optional[str]:
    """A ``type`` that no registry has."""
    unknown = re.search(r'(\S+) is not in the \S+::(.+?) registry', report.text)
    if unknown is None:
        return None
    name, registry = unknown.groups()
    near = ', '.join(_near(name, registry)) or 'none'
    return f"type '{name}' is not a registered {registry}; near: {near}"


def _unknown_setting(report: _Report) -> Optional[str]:
    """A setting that the class named by ``type`` does not take."""
    setting = re.search(r"got an unexpected keyword argument '(\w+)'", report.text)
    owner = _last([frame.f_locals.get('obj_cls') for frame in report.frames])
    if setting is None or not inspect.isclass(owner):
        return None
    known = _settings(owner)
    close = difflib.get_close_matches(setting[1], known, cutoff=0.5) or known
    return f"{owner.__name__} has no setting '{setting[1]}'; near: {', '.join(close)}"


def _unclear_kind(report: _Report) -> Optional[str]:
    """An exception whose message is hardly clear without its type, as a KeyError's."""
    if isinstance(report.error, (ValueError, RuntimeError, OSError, TypeError)):
        return None
    return f'{type(report.error).__name__}: {report.line}'


def _unfit_list(report: _Report) -> Optional[str]:
    """A message about a list that does not name it."""
    name, line = report.annotations, report.line
    if not name or name in line:
        return None
    if 'need at least one array' in line:
        # what NumPy says when there are no annotations at all
        return f"'{name}' lists no clips"
    if 'to unpack' in line or 'invalid literal for int' in line:
        line = f"a line in it is not '{report.form}': {line}"
    return f"'{name}' is unfit: {line}"


def _not_a_number(report: _Report) -> Optional[str]:
    """A word of the environment that is to be a number."""
    message = r"invalid literal for int\(\) with base 10: '(.*)'"
    wrong = re.fullmatch(message, report.line)
    for name, value in os.environ.items():
        if wrong and name.startswith('MMVKD_') and value == wrong[1]:
            return f"{name}='{value}' is not a whole number"
    return None


# the first that applies tells the error
_RULES = (
    _short_line_of_list,
    _without_message,
    _of_worker,
    _unknown_type,
    _unknown_setting,
    _unclear_kind,
    _unfit_list,
    _not_a_number,
)


def _last(values: list) -> Any:
    return next((value for value in reversed(values) if value), None)


def _list_of(frame: FrameType) -> Optional[tuple[str, str]]:
    """The list that a data set reads in this frame, and the form of its lines."""
    dataset = frame.f_locals.get('self')
    name = getattr(dataset, 'ann_file', None)
    frames = type(dataset).__name__.startswith('Rawframe')
    return name and (str(name), 'folder frames label' if frames else 'path label')


def _settings(owner: type) -> list[str]:
    """The named arguments of a class and, where it passes others on, of its bases."""
    names: list[str] = []
    for base in owner.__mro__[:-1]:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(vars(base)['__init__']).parameters.values()
        names += [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return sorted(set(names) - {'self', 'args'})


def _near(name: str, registry: str) -> list[str]:
    """Names similar to ``name``, in every scope of a registry."""
    roots = [r for r in vars(root).values() if isinstance(r, Registry)]
    known: dict[str, str] = {}
    for parent in roots:
        if parent.name == registry:
            for child in [parent, *parent.children.values()]:
                prefix = '' if child.scope in ('mmengine', 'mmaction') else child.scope
                for key in child.module_dict:
                    known[key] = f'{prefix}.{key}' if prefix else key
    short = name.rpartition('.')[2]
    return [known[key] for key in difflib.get_close_matches(short, known, cutoff=0.5)]


def _tell(line: str) -> None:
    shared = os.environ.get('MMVKD_ERROR_FILE')
    if shared:
        try:
            with open(shared, 'x', encoding='utf-8') as file:
                file.write(line + '\n')
            return
        except FileExistsError:
            return
        except OSError:
            pass
    print(line, file=sys.stderr, flush=True)
