"""What all tests of runs share."""

from __future__ import annotations

import pytest
from mmengine.config import config as config_module


@pytest.fixture(autouse=True)
def unformatted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formatting the config takes longer than the test."""
    monkeypatch.setattr(config_module, 'FormatCode', lambda text, **_: (text, True))
