"""A clean MMEngine in each test."""

from __future__ import annotations

import logging
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
