"""The machine that a study runs on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Optional


def has_accelerator() -> bool:
    """Whether runs will use an accelerator; asked without waking it, as runs fork."""
    if os.environ.get('CUDA_VISIBLE_DEVICES', 'unset') in ('', '-1'):
        return False
    return any(
        map(os.path.exists, ('/dev/nvidiactl', '/dev/kfd', '/dev/davinci_manager'))
    )


def devices() -> list[str]:
    """Numbers of the accelerators; empty if there are none."""
    if not has_accelerator():
        return []
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named:
        return named.split(',')
    return [str(i) for i in range(len(list(Path('/dev').glob('nvidia[0-9]*'))) or 1)]


def visible_devices(slot: int, processes: int) -> Optional[str]:
    """``CUDA_VISIBLE_DEVICES`` of a run; None if the machine has no accelerator.

    A run of more processes than there are accelerators has none: it uses the CPU, on
    which any number of processes have room.

    Args:
        slot: Place of the run among those that run at the same time.
        processes: Processes of the run.
    """
    found = devices()
    if not found:
        return None
    if processes > len(found):
        return ''
    return ','.join(found[(slot + i) % len(found)] for i in range(processes))


def describe_machine() -> str:
    """Cores, processor and accelerators of this machine."""
    words = f'{os.cpu_count()} cores, {platform.machine()}'
    info = Path('/proc/cpuinfo')
    if info.is_file():
        found = re.search(r'model name\s*:\s*(.+)', info.read_text())
        words = f'{os.cpu_count()} cores, {found[1].strip()}' if found else words
    for file in sorted(Path('/proc/driver/nvidia/gpus').glob('*/information')):
        found = re.search(r'Model:\s*(.+)', file.read_text())
        if found:
            words += f', {found[1].strip()}'
    return words
