"""A clean MMEngine in each test; the environments that some of them need."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.visualization import Visualizer

import mmvkd  # noqa: F401  (the mends come first)


@pytest.fixture(autouse=True)
def clean_mmengine() -> Iterator[None]:
    """Each test starts in scope mmaction and leaves no global instance behind."""
    init_default_scope('mmaction')
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer):
        manager._instance_dict.clear()
    logging.getLogger('mmengine').handlers.clear()


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment that torchrun gives to one process."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = dict(
        RANK='0',
        WORLD_SIZE='1',
        LOCAL_RANK='0',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.fixture
def no_forced_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither safe nor unsafe loading is forced from outside."""
    for name in ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.delenv(name, raising=False)
