"""The small project, made once."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import init_default_scope
from small_project import Project, tool
from toys import tiny_tsm


@pytest.fixture(scope='session')
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Videos, a teacher and an epoch of distillation."""
    from mmvkd.models.recognizers import build_recognizer

    init_default_scope('mmaction')
    project = Project(tmp_path_factory.mktemp('project'))
    torch.manual_seed(0)
    torch.save(build_recognizer('teacher', tiny_tsm()).state_dict(), project.teacher)
    tool('train')([project.distiller('distilled')])
    return project


@pytest.fixture
def project(shared_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, in a process without a launcher."""
    for name in ('LOCAL_RANK', 'MMVKD_ERROR_FILE', 'MMVKD_TRACEBACK'):
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(1)
    return shared_project


@pytest.fixture
def checkpoint(project: Project) -> str:
    """What an epoch of distillation wrote."""
    return str(project.folder / 'work' / 'distilled' / 'epoch_1.pth')
