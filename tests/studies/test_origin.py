"""Results of other settings, weights or data are of another origin: none is reused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import RUNS, StudyProject, call, copy, results


def test_other_settings_are_refused_and_fresh_moves_the_old_runs_aside(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    study = study_project.declare('longer', options={'train_cfg.max_epochs': 1})
    status, output = call(folder, study)
    assert status == 1
    last = output.strip().splitlines()[-1]
    assert last.startswith('error: 5 runs in out are of other origin')
    assert 'train_cfg.max_epochs was 2, now 1' in last and '--fresh' in last
    assert results(folder) == results(finished)
    status, output = call(folder, study, '--fresh', '--only', 'student')
    assert status == 0, output
    found = results(folder)
    states = {name: run['state'] for name, run in found['runs'].items()}
    assert [name for name in RUNS if states[name] == 'finished'] == [
        'student-seed0',
        'student-seed1',
    ]
    assert len(found['runs']['student-seed0']['curve']) == 1
    old = folder / 'out' / 'old' / 'student-seed0.1' / 'result.json'
    assert len(json.loads(old.read_text())['curve']) == 2


def test_other_weights_to_start_from_are_another_origin(
    study_project: StudyProject, tmp_path: Path
) -> None:
    from mmvkd.studies.fingerprint import fingerprint, list_differences
    from mmvkd.studies.plan import load_study

    study = load_study(str(study_project.folder / 'study.py'))
    weights = tmp_path / 'start.pth'
    run = replace(study.runs['student-seed0'], options={'load_from': str(weights)})
    prints = []
    for content in (b'one', b'two'):
        weights.write_bytes(content)
        prints.append(fingerprint(run, {}))
    (difference,) = list_differences(*prints)
    assert difference.startswith(str(weights))


def _told(study_project: StudyProject, options: dict[str, Any]) -> Any:
    """A function that gives the fingerprint of a distilling run with ``options``."""
    from mmvkd.studies.fingerprint import fingerprint
    from mmvkd.studies.plan import load_study

    study = load_study(str(study_project.folder / 'study.py'))
    run = study.runs['kd-seed0']
    run = replace(run, needs={}, options={**run.options, **options})
    return lambda: fingerprint(run, {})


def test_a_model_named_by_its_config_is_what_that_says(
    study_project: StudyProject, tmp_path: Path
) -> None:
    model = tmp_path / 'teacher.py'
    now = _told(study_project, {'model.teachers.teacher.model': str(model)})
    prints = []
    for classes in (4, 5):
        head = f'cls_head=dict(num_classes={classes})'
        model.write_text(f"model = dict(type='Recognizer2D', {head})")
        prints.append(now()['config'])
    differing = {key for key, value in prints[0].items() if prints[1][key] != value}
    assert differing == {'model.teachers.teacher.model.cls_head.num_classes'}


@pytest.mark.parametrize('name', ['{}', 'run://{}?recipe=make it'])
def test_weights_of_a_run_that_no_study_made_are_told(
    study_project: StudyProject, tmp_path: Path, name: str
) -> None:
    key = 'model.teachers.teacher.checkpoint'
    now = _told(study_project, {key: name.format(tmp_path)})
    prints = []
    for content in (b'one', b'two'):
        (tmp_path / 'best_epoch_1.pth').write_bytes(content)
        prints.append(now()['data'])
    (differing,) = {key for key, value in prints[0].items() if prints[1][key] != value}
    assert differing == name.format(tmp_path)


@pytest.mark.parametrize('delimiter', [' ', ','])
def test_other_clips_of_the_same_names_are_another_origin(
    study_project: StudyProject, tmp_path: Path, delimiter: str
) -> None:
    data = 'train_dataloader.dataset.dataset'
    settings = dict(data_root=str(tmp_path), ann_file='train.txt', delimiter=delimiter)
    options = {f'{data}.{key}': value for key, value in settings.items()}
    options[f'{data}.data_prefix'] = dict(video='clips')
    now = _told(study_project, options)
    lines = (f'{clip}.mp4{delimiter}0\n' for clip in 'ab')
    (tmp_path / 'train.txt').write_text(''.join(lines))
    (tmp_path / 'clips').mkdir()
    prints = []
    for content in (b'one', b'three'):
        (tmp_path / 'clips' / 'b.mp4').write_bytes(content)
        prints.append(now()['data'])
    name = str(tmp_path / 'train.txt')
    assert prints[0][name] == prints[1][name] is not None
    assert [found[f'{name}, clips'] for found in prints] == [3, 5]


def test_a_list_that_no_loader_reads_is_left_out(
    study_project: StudyProject, tmp_path: Path
) -> None:
    other = tmp_path / 'other.txt'
    other.write_text('a.mp4 0\n')
    now = _told(study_project, {'spare_set.ann_file': str(other)})
    assert str(other) not in now()['data']
    assert study_project.train in now()['data']


@pytest.mark.parametrize('what', ['config', 'need'])
def test_a_run_that_changed_while_the_study_ran_is_no_result(
    study_project: StudyProject, finished: Path, tmp_path: Path, what: str
) -> None:
    from mmvkd.studies.origin import recheck, settle
    from mmvkd.studies.plan import load_study
    from mmvkd.studies.study import StudyError

    folder = copy(finished, tmp_path) / 'out'
    study = load_study(str(study_project.folder / 'study.py'), str(folder))
    marks = settle(study, False, print)
    run = study.runs['kd-seed0']
    recheck(study, run, marks)
    if what == 'config':
        run = replace(run, options={**run.options, 'train_cfg.max_epochs': 9})
    else:
        mark = folder / 'runs' / 'teacher-seed5' / 'fingerprint.json'
        before = mark.read_text()
        mark.write_text(json.dumps({**json.loads(before), 'seed': 99}))
    with pytest.raises(StudyError, match=r'kd-seed0 is no longer what it was .*fresh'):
        recheck(study, run, marks)
    if what == 'need':
        mark.write_text(before)
    # and stays of another origin when the change is taken back
    with pytest.raises(StudyError, match=r"1 runs in .* as 'kd-seed0'"):
        settle(study, False, print)


def test_a_run_that_never_began_takes_other_settings(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    mark = folder / 'out' / 'runs' / 'kd-seed0' / 'fingerprint.json'
    now = mark.read_text()
    shutil.rmtree(mark.parent)
    mark.parent.mkdir()
    mark.write_text(json.dumps({**json.loads(now), 'seed': 99}))
    study = str(study_project.folder / 'study.py')
    status, output = call(folder, study, '--only', 'student')
    assert status == 0, output
    assert json.loads(mark.read_text()) == json.loads(now)


def test_another_list_of_data_is_another_origin(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    from mmvkd.studies.fingerprint import digest, fingerprint, list_differences
    from mmvkd.studies.plan import load_study

    study = load_study(str(study_project.folder / 'study.py'))
    run = study.runs['student-seed0']
    before = fingerprint(run, {})
    assert digest(before) == digest(fingerprint(run, {}))
    annotations = Path(study_project.train)
    text = annotations.read_text()
    try:
        annotations.write_text(text.replace(' 3\n', ' 2\n'))
        after = fingerprint(run, {})
    finally:
        annotations.write_text(text)
    assert digest(before) != digest(after)
    (difference,) = list_differences(before, after)
    assert difference.startswith(study_project.train)


def test_long_settings_are_told_where_they_differ() -> None:
    from mmvkd.studies.fingerprint import list_differences

    old, new = (dict(config={'pipeline': f'{"x" * 60}{end}'}) for end in 'ab')
    (difference,) = list_differences(old, new)
    assert difference.partition(', now ')[0].endswith('xa')
