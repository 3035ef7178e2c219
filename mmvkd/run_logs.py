"""What a run logged, and the runs that resumed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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
