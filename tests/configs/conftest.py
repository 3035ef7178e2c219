"""No config reads an environment that its test did not make."""

from __future__ import annotations

import pytest
import torch

SETTINGS = (
    *('DATA', 'SIZE', 'PROBE', 'NUM_CLASSES', 'VIDEOS'),
    *('TRAIN_LIST', 'VAL_LIST', 'TEST_LIST'),
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and nothing of the environment that a config reads."""
    for name in SETTINGS:
        monkeypatch.delenv(f'MMVKD_{name}', raising=False)
    torch.set_num_threads(1)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The data-set word, in the environment."""
    monkeypatch.setenv('MMVKD_DATA', request.param)
    return request.param
