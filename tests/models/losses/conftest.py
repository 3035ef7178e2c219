"""An exact solver of transport problems."""

from __future__ import annotations

import pytest


@pytest.fixture
def exact_cost():
    """Return the exact transport cost of two distributions, by POT."""
    return pytest.importorskip('ot', reason='POT is needed for its exact solver').emd2
