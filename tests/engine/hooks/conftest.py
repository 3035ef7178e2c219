"""Small clips for runs with hooks."""

from __future__ import annotations

import pytest
from videos import write_list


@pytest.fixture(scope='module')
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Annotation lists of small clips."""
    folder = tmp_path_factory.mktemp('clips')
    return write_list(folder, 8), write_list(folder, 3, 'val')
