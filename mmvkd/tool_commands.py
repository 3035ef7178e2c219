"""Where our tools lie, and a command that calls one as the user here types it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

_OF_TOOLS = ('MMVKD_ERROR_FILE', 'MMVKD_TRACEBACK')


def tools_folder() -> Path:
    """The tools of the checkout, or else of the installed package.

    Raises:
        FileNotFoundError: if the package has no tools.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / 'tools', package / '.mim' / 'tools'):
        if (folder / 'train.py').is_file():
            return folder
    raise FileNotFoundError(f'no tools beside {package}, nor in {package / ".mim"}')


def as_typed_here(command: str) -> str:
    """One of our commands, preceded by the ``MMVKD_…`` variables that are set here."""
    words = [
        f'{name}={shlex.quote(value)}'
        for name, value in sorted(os.environ.items())
        if name.startswith('MMVKD_') and name not in _OF_TOOLS
    ]
    return ' '.join([*words, placed(command)])


def placed(command: str) -> str:
    """A command whose tool is named by its place, outside of our checkout."""
    tools = tools_folder()
    if Path('tools').resolve() == tools:
        return command
    return command.replace('python tools/', f'python {shlex.quote(str(tools))}/')
