"""A study that ran without interruption, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

sys.path.append(str(Path(__file__).parents[1] / 'tools'))  # small_project

from small_study import StudyProject, call


@pytest.fixture(scope='session')
def study_project(tmp_path_factory: pytest.TempPathFactory) -> StudyProject:
    """Videos, configs and a study file."""
    init_default_scope('mmaction')
    return StudyProject(tmp_path_factory.mktemp('study'))


@pytest.fixture(scope='session')
def finished(study_project: StudyProject) -> Path:
    """Where the study ran to its end; it lies in ``out``."""
    folder = study_project.folder / 'whole'
    folder.mkdir()
    status, output = call(folder, str(study_project.folder / 'study.py'))
    assert status == 0, output
    return folder
