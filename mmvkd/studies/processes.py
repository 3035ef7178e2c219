"""Processes that do not outlive the study, however it ends.

A run is looked after by a *keeper*, a fork of the study. The keeper starts the tools
one after the other; when the study is gone, it ends all that it started. When the
keeper is killed, its children die with it, and the study ends what is left of theirs.
"""

from __future__ import annotations

import ctypes
import logging
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Optional

import torch

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAUSE = 0.05


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent ends (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def fork(
    body: Callable[[], int], log: Optional[Path] = None, keeper: bool = False
) -> int:
    """Run ``body`` in a fork; return its process id.

    Args:
        body: Returns the exit status.
        log: File to which its output is appended.
        keeper: It looks after children, so it is not killed with its parent.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if not keeper:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            if log is not None:
                _redirect(log)
            status = body()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except OSError:
            status = status or 1  # a full disk, say
        finally:
            os._exit(status)


def call_tool(
    argv: Sequence[str], environment: Mapping[str, str], in_process: bool
) -> int:
    """Become a tool: in this (forked) process, or by replacing it.

    Args:
        argv: Interpreter, script and arguments.
        environment: Variables to set.
        in_process: Saves the seconds that a fresh interpreter takes to import.
    """
    os.environ.update(environment)
    if not in_process:
        os.execvpe(argv[0], list(argv), dict(os.environ))
    # torch read the variable when it was imported
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
    sys.argv = list(argv[1:])
    sys.path[0] = str(Path(argv[1]).parent)
    runpy.run_path(argv[1], run_name='__main__')
    return 0


def keep(pid: int, parent: int) -> int:
    """In a keeper: wait for a child, then end whatever it left.

    Args:
        pid: The child.
        parent: The keeper's own parent, which must be there for the child to go on.

    Returns:
        Its exit status, or minus the signal that ended it.
    """
    while True:
        ended, status = _reap(pid)
        if ended or os.getppid() != parent:
            break
        time.sleep(_PAUSE)
    end_children()
    if not ended:
        os._exit(1)
    return status


def _reap(pid: int) -> tuple[bool, int]:
    """Collect children that ended; tell whether ``pid`` is one of them."""
    while True:
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False, 0
        if found == pid:
            return True, exit_code(status)
        if not found:
            return False, 0


def exit_code(status: int) -> int:
    """The exit status from what ``waitpid`` gives, or minus the signal."""
    if os.WIFSIGNALED(status):
        return -os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def end_children(spare: Sequence[int] = ()) -> None:
    """Kill all descendants except ``spare`` and theirs; wait until they are gone."""
    while True:
        tree = descendants(os.getpid(), spare)
        if not tree:
            return
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for pid in tree:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # a grandchild; it comes to us when its parent is gone
        time.sleep(_PAUSE / 5)


def descendants(root: int, spare: Sequence[int] = ()) -> list[int]:
    """Processes below ``root`` that have not ended, those nearest first.

    Where there is no ``/proc``, none is found.
    """
    children: dict[int, list[int]] = {}
    for entry in Path('/proc').glob('[0-9]*/stat'):
        try:
            text = entry.read_text(errors='replace')
        except OSError:
            continue
        # the name, in parentheses, may hold anything
        state, parent = text.rpartition(')')[2].split()[:2]
        if state not in 'ZX' or int(parent) == root:
            children.setdefault(int(parent), []).append(int(entry.parent.name))
    found, ahead = [], [root]
    while ahead:
        below = [pid for pid in children.get(ahead.pop(0), []) if pid not in spare]
        found += below
        ahead += below
    return found


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    os.close(empty)


def _prctl(option: int, value: int) -> None:
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
