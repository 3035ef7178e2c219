"""tools/cache_teacher.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_project import Project, loader, tool
from toys import tiny_tsm

cache, train = tool('cache_teacher'), tool('train')


def cached(project: Project, **teacher: Any) -> str:
    """Write a config whose teacher is read from a store."""
    wrapper = dict(
        type='mmvkd.CachedTeacher',
        model=tiny_tsm(),
        checkpoint=project.teacher,
        store=str(project.folder / 'store'),
        **teacher,
    )
    data = loader(project.train, True)
    data['sampler'].update(views=2)
    model = dict(teachers=dict(t=wrapper))
    return project.distiller('cached', model=model, train_dataloader=data)


def test_a_student_learns_from_what_the_tool_wrote(
    project: Project, capsys: pytest.CaptureFixture
) -> None:
    config = cached(project)
    cache([config])
    assert '1 of 1 shards written' in capsys.readouterr().out
    train([config])
    assert Path(project.folder, 'work', 'cached', 'epoch_1.pth').is_file()
    cache([config])
    assert '0 of 1 shards written' in capsys.readouterr().out


def test_a_store_is_known_again_where_types_are_classes(project: Project) -> None:
    config = Path(cached(project)).with_name('pure_python.py')
    config.write_text(
        'from mmaction.models import Recognizer2D\n'
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .cached import *\n'
        "model['teachers']['t']['model']['type'] = Recognizer2D\n"
        f"model['teachers']['t']['store'] = '{project.folder}/pure'\n"
        f"work_dir = '{project.folder}/pure_run'\n"
    )
    cache([str(config)])
    train([str(config)])
    assert Path(project.folder, 'pure_run', 'epoch_1.pth').is_file()


def test_a_missing_store_ends_in_a_line_that_names_the_tool(
    project: Project, capsys: pytest.CaptureFixture
) -> None:
    config = cached(project, topk=2)
    with pytest.raises(SystemExit):
        train([config, '--cfg-options', 'model.teachers.t.store=nowhere'])
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "there is no store 'nowhere'" in told
    assert 'python tools/cache_teacher.py' in told
