"""Small files that stay whole if the process is killed at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path whose file replaces ``path`` if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # processes of several machines may share the folder, and a process id
    temporary = path.with_name(f'.{path.name}.{uuid4().hex[:12]}.tmp')
    try:
        yield temporary
        with open(temporary, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name and rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: Path, value: Any) -> None:
    """Write JSON that is the same, byte for byte, for the same value."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + '\n')


def read_json(path: Path) -> Any:
    """What the file holds, None if it is not there."""
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding='utf-8'))


def run_logs(folder: Path) -> list[Path]:
    """The logs of a run and of those that resumed it, oldest first."""
    return sorted(folder.glob('[0-9]*/vis_data/scalars.json'))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; a line cut short is left out."""
    found = []
    if path.is_file():
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [entry for entry in found if isinstance(entry, dict)]


def logged(folder: Path) -> Iterator[dict[str, Any]]:
    """What a run logged, line by line, each with its ``step``.

    A resumed run logs some steps again: the later entries are the valid ones.
    """
    for log in run_logs(folder):
        for entry in read_lines(log):
            if isinstance(entry.get('step'), int):
                yield entry
