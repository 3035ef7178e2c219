"""mmvkd/host_memory.py: what a process frees, it keeps."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from mmvkd import host_memory

# [MiB] that stay with the process when tensors of 256 MiB are gone
FREED = """
import sys, torch
from mmvkd.host_memory import keep_freed_memory
if sys.argv[1] == 'kept':
    assert keep_freed_memory()
def resident():
    return int(open('/proc/self/statm').read().split()[1]) / 256
torch.ones(1)
before = resident()
size = int(sys.argv[2])
tensors = [torch.ones(size << 18) for _ in range(256 // size)]
del tensors
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='speaks to glibc alone')
@pytest.mark.parametrize(
    ('asked', 'size', 'stays'),
    [('kept', 16, True), ('kept', 64, False), ('', 16, False)],
)
def test_what_is_freed_stays_unless_it_is_large(
    asked: str, size: int, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    words = [sys.executable, '-W', 'ignore', '-c', FREED, asked, str(size)]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    stayed = float(output.splitlines()[-1])
    assert stayed > 250 if stays else stayed < 20


def test_a_host_with_an_accelerator_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_memory, 'get_device', lambda: 'cuda')
    assert not host_memory.keep_freed_memory()
