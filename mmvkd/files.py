"""Small files that stay whole if the process is killed at any moment."""

from __future__ import annotations

import hashlib
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


def file_hash(path: Path) -> str:
    """A short hash of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]
