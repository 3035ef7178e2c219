"""Whether the runs of a study are of this code, config and data, or of others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmvkd.files import read_json, write_json
from mmvkd.studies import outcome
from mmvkd.studies.commands import run_folder
from mmvkd.studies.fingerprint import digest, fingerprint, list_differences
from mmvkd.studies.records import FINGERPRINT
from mmvkd.studies.study import Run, Study, StudyError


def settle(study: Study, fresh: bool, say: Callable[[str], None]) -> dict[str, str]:
    """Compare what is in a study's folder with what would be run now.

    A run that a study beside it has finished with the same fingerprint is linked.

    Args:
        study: The study.
        fresh: Move runs of other origin aside instead of refusing to go on.
        say: Called with lines of progress.

    Returns:
        The digest of each run's fingerprint.

    Raises:
        StudyError: if runs in its folder are of other code, config or data.
    """
    marks: dict[str, str] = {}
    stale: dict[str, str] = {}
    prints: dict[str, dict[str, Any]] = {}
    for run in study.runs.values():
        now = fingerprint(run, marks)
        prints[run.name], marks[run.name] = now, digest(now)
        folder = run_folder(study, run.name)
        if not _begun(folder):
            continue
        then = read_json(folder / FINGERPRINT)
        if digest(then) != marks[run.name]:
            stale[run.name] = '; '.join(list_differences(then, now)[:3])
    if stale and not fresh:
        name = next(iter(stale))
        raise StudyError(
            f"{len(stale)} runs in {study.folder} are of other origin, as '{name}' "
            f'({stale[name]}); results would be mixed: --fresh moves these runs aside '
            'and runs them again, --out FOLDER starts elsewhere'
        )
    for name in stale:
        say(f'moved aside: {_move_aside(run_folder(study, name))}')
    new = [name for name in prints if not _begun(run_folder(study, name))]
    beside = _finished_beside(study) if new else {}
    for name in new:
        folder = run_folder(study, name)
        mark = folder / FINGERPRINT
        # whatever else is there is of unknown origin
        if folder.is_symlink() or (folder.exists() and not mark.is_file()):
            _move_aside(folder)
        found = beside.get(marks[name])
        if found is None:
            write_json(mark, prints[name])
            continue
        if mark.is_file():
            mark.unlink()
            folder.rmdir()
        folder.parent.mkdir(exist_ok=True)
        folder.symlink_to(os.path.relpath(found.resolve(), folder.parent.resolve()))
        say(f'{name}: taken from {found}')
    return marks


def recheck(study: Study, run: Run, marks: Mapping[str, str]) -> None:
    """Compare what decides a run with what it was when the study began.

    Args:
        study: The study of the run.
        run: The run.
        marks: What :func:`settle` gave then.

    Raises:
        StudyError: if they differ; the next call then sees a run of other origin.
    """
    needs = {need: mark_of(run_folder(study, need)) for need in run.needs.values()}
    now = fingerprint(run, needs)
    if digest(now) == marks[run.name]:
        return
    file = run_folder(study, run.name) / FINGERPRINT
    told = '; '.join(list_differences(read_json(file) or {}, now)[:3])
    write_json(file, now)
    raise StudyError(
        f'{run.name} is no longer what it was when the study began ({told}): '
        '--fresh runs it again'
    )


def mark_of(folder: Path) -> str:
    """The digest of the fingerprint in a run's folder, of an empty one without it."""
    return digest(read_json(folder / FINGERPRINT) or {})


def _begun(folder: Path) -> bool:
    """Whether the folder has a fingerprint and anything beside it."""
    if not (folder / FINGERPRINT).is_file():
        return False
    return any(file.name != FINGERPRINT for file in folder.iterdir())


def _finished_beside(study: Study) -> dict[str, Path]:
    """Folders of runs that other studies have finished, by their fingerprint."""
    found = {}
    for file in sorted(study.folder.parent.glob(f'*/runs/*/{FINGERPRINT}')):
        inside = study.folder in file.parents or file.parent.is_symlink()
        result = read_json(file.parent / outcome.RESULT)
        if not inside and result is not None:
            mark = mark_of(file.parent)
            if result['fingerprint'] == mark:
                found[mark] = file.parent
    return found


def _move_aside(folder: Path) -> Path:
    old = folder.parent.parent / 'old'
    old.mkdir(exist_ok=True)
    number = 1
    while (old / f'{folder.name}.{number}').exists():
        number += 1
    return Path(shutil.move(str(folder), str(old / f'{folder.name}.{number}')))
