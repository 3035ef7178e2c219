"""The main job: four self-supervised teachers, both graphs."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from published import (
    AFTER_COHERENCE,
    MAIN,
    MAKERS,
    ROOT,
    TASKS,
    first_error,
    motions_like,
    parsed,
    recognizers,
)
from videos import write_list


def test_the_main_job_has_four_self_supervised_teachers_and_both_graphs() -> None:
    model = parsed('motions', MAIN).model
    assert tuple(model.teachers) == TASKS
    kinds = {head.type for head in model.heads.values()}
    assert kinds == {'mmvkd.LogitsGraphHead', 'mmvkd.RepresentationGraphHead'}


@pytest.mark.parametrize('names', ['coherence', 'registration,pace'])
def test_a_word_says_which_teachers_the_main_job_has(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_TEACHERS', names)
    teachers = Config.fromfile(ROOT / 'configs' / MAIN).model.teachers
    assert list(teachers) == names.split(',')
    for name, teacher in teachers.items():
        assert (ROOT / f'configs/teachers/{name}_tsm_r50.py').is_file()
        assert teacher.model.config == f'mmvkd::teachers/{name}_tsm_r50.py'


@pytest.mark.parametrize('task', TASKS)
def test_the_main_job_leads_to_each_command_that_is_to_be_run_before_it(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main = copy.deepcopy(parsed('motions', MAIN))
    for other in set(TASKS) - {task}:
        main.model.teachers[other].checkpoint = 'random'  # as if it were there
    teacher, pretext = (
        parsed('motions', f'{folder}/{task}_tsm_r50.py')
        for folder in ('teachers', 'pretext')
    )
    # without data, the last in the chain is told what makes them
    assert MAKERS['motions'] in first_error(pretext, tmp_path)
    for split in ('train', 'val'):
        target = Path(f'data/motions/motions_{split}_list.txt')
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(write_list(tmp_path, 2, split), target)
    assert first_error(main, tmp_path) == (
        f"checkpoint '{teacher.work_dir}' of the teacher '{task}' is missing; make it "
        f'with: python {ROOT}/tools/train.py mmvkd::teachers/{task}_tsm_r50.py'
    )
    assert first_error(teacher, tmp_path) == (
        f"run '{pretext.work_dir}' has no checkpoint; make it with: "
        f'python {ROOT}/tools/train.py mmvkd::pretext/{task}_tsm_r50.py'
    )
    if f'pretext/{task}_tsm_r50.py' in AFTER_COHERENCE:
        assert first_error(pretext, tmp_path) == (
            "run 'work_dirs/motions/pretext/coherence_tsm_r50' has no checkpoint; make "
            f'it with: python {ROOT}/tools/train.py mmvkd::pretext/coherence_tsm_r50.py'
        )


def test_the_main_job_works_with_one_teacher() -> None:
    config = copy.deepcopy(parsed('motions', MAIN))
    config.model.teachers = dict(sorting=config.model.teachers.sorting)
    config.model.teachers.sorting.checkpoint = 'random'
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    student = recognizers('motions', config)['student']
    logs = model.train_step(motions_like(student, 1), wrapper)
    assert {'loss_logits_graph', 'loss_representation_graph'} <= set(logs)
    assert logs['logits_graph_trust_sorting'] == 1
    assert logs['representation_graph_edge_sorting+sorting'] == 1
