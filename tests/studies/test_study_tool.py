"""tools/study.py, on tiny videos."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import RUNS, StudyProject, call, copy, results, start

from mmvkd.studies.processes import descendants

linux = pytest.mark.skipif(
    sys.platform != 'linux', reason='ends orphans by means of Linux'
)


def test_each_run_is_trained_tested_and_told(finished: Path) -> None:
    found = results(finished)
    assert sorted(found['runs']) == RUNS
    labels = np.array(found['test_lists']['list0'].split(), dtype=int)
    for run in found['runs'].values():
        assert run['state'] == 'finished'
        guesses = np.array(run['predictions'].split(), dtype=int)
        assert run['metrics']['acc/top1'] == pytest.approx((guesses == labels).mean())
        assert [point['epoch'] for point in run['curve']] == [1, 2]
        first, second = (point['iter'] for point in run['curve'])
        assert second == 2 * first > 0
        best = max(point['acc/top1'] for point in run['curve'])
        # the test list is the validation list, so the best epoch gives its score again
        assert run['metrics']['acc/top1'] == best
        assert run['model']['parameters'] > 0 and run['model']['gflops'] > 0
        assert len(run['two_way']) == len(labels)
        known = [mark for mark, label in zip(run['two_way'], labels) if label < 2]
        assert set(known) <= {'0', '1'} and run['two_way'].count('-') == 2
    assert found['teacher_chains'] == {'teacher-seed5': ['teacher-seed5']}
    times = json.loads((finished / 'out' / 'times.json').read_text())
    assert sorted(times['runs']) == RUNS
    assert all(value > 0 for value in times['latency_ms'].values())
    for name in ('report.md', 'report.html', 'accuracy.png', 'classes.png'):
        assert (finished / 'out' / name).stat().st_size > 1000


def test_the_command_of_a_cell_gives_its_number_elsewhere(
    finished: Path, tmp_path: Path
) -> None:
    found = results(finished)
    chain = ['teacher-seed5', 'kd-seed1']
    lines = [found['runs'][name]['commands']['train'] for name in chain]
    lines.append(found['runs']['kd-seed1']['commands']['test'])
    for line in lines:
        words = shlex.split(line)
        cut = words.index('python')
        variables = dict(word.split('=', 1) for word in words[:cut])
        tool = Path(words[cut + 1])
        assert tool.parent == Path('tools')
        status, output = call(tmp_path, *words[cut + 2 :], tool=tool.name, **variables)
        assert status == 0, output
    again = json.loads((tmp_path / 'out/runs/kd-seed1/metrics.json').read_text())
    assert again == found['runs']['kd-seed1']['metrics']


@linux
def test_a_study_that_is_killed_ends_as_the_uninterrupted_one(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    study = str(study_project.folder / 'study.py')
    for kill in ('study', 'child', 'study'):
        process = start(tmp_path, study)
        while process.poll() is None and not descendants(process.pid):
            time.sleep(0.05)
        time.sleep(chance.uniform(0.1, 4))
        tree = descendants(process.pid)
        if kill == 'child' and tree:
            os.kill(chance.choice(tree), signal.SIGKILL)
            time.sleep(chance.uniform(0.1, 2))
        process.kill()
        process.communicate(timeout=60)
        _wait_until_gone(tree)
    status, output = call(tmp_path, study)
    assert status == 0, output
    expected = (finished / 'out' / 'results.json').read_bytes()
    assert (tmp_path / 'out' / 'results.json').read_bytes() == expected


def _wait_until_gone(pids: list[int]) -> None:
    """No process goes on writing behind the back of the next one."""
    for _ in range(200):
        if not any(_lives(pid) for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError(f'{[pid for pid in pids if _lives(pid)]} outlive the study')


def _lives(pid: int) -> bool:
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return text.rpartition(')')[2].split()[0] not in 'ZX'


def _study_beside(project: StudyProject) -> str:
    """A study of some of the runs, in ``beside``."""
    kd = project.settings()['methods']['kd']
    methods = dict(mine=dict(config=project.student), kd=kd)
    return project.declare(
        'other', out='beside', seeds=[0], methods=methods, student='mine'
    )


def test_a_finished_run_is_not_run_again(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    shutil.rmtree(folder / 'out' / 'runs' / 'student-seed1')
    times = {
        name: (folder / 'out' / 'runs' / name / 'result.json').stat().st_mtime_ns
        for name in RUNS
        if name != 'student-seed1'
    }
    status, output = call(folder, str(study_project.folder / 'study.py'))
    assert status == 0, output
    assert '4 of 5 runs finished' in output
    for name, before in times.items():
        file = folder / 'out' / 'runs' / name / 'result.json'
        assert file.stat().st_mtime_ns == before
    assert results(folder) == results(finished)


def test_a_run_that_a_study_beside_it_has_finished_is_taken_from_there(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    other = _study_beside(study_project)
    (folder / 'out' / 'runs' / 'kd-seed0' / 'result.json').unlink()
    status, output = call(folder, other)
    assert status == 0, output
    runs = folder / 'beside' / 'runs'
    assert {run.name: run.is_symlink() for run in runs.iterdir()} == {
        'mine-seed0': True,  # by another name
        'teacher-seed5': True,
        'kd-seed0': False,  # that one had not finished
    }
    found = json.loads((folder / 'beside' / 'results.json').read_text())['runs']
    before = results(finished)['runs']
    assert found['mine-seed0']['metrics'] == before['student-seed0']['metrics']
    assert found['kd-seed0']['metrics'] == before['kd-seed0']['metrics']
    # whoever has this report alone can make all of it
    lines = [line for run in found.values() for line in run['commands'].values()]
    assert not [line for line in lines if 'out/runs' in line]
    assert 'beside/runs/mine-seed0' in found['mine-seed0']['commands']['test']

    # what it was taken from is gone: it is run here
    shutil.rmtree(folder / 'out')
    status, output = call(folder, other, '--only', 'mine')
    assert status == 0, output
    assert not (runs / 'mine-seed0').is_symlink()
    found = json.loads((folder / 'beside' / 'results.json').read_text())['runs']
    assert found['mine-seed0']['metrics'] == before['student-seed0']['metrics']


def test_a_run_not_begun_is_taken_once_a_study_beside_it_has_finished_it(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    folder = copy(finished, tmp_path)
    other = _study_beside(study_project)
    hidden = (folder / 'out' / 'runs').rename(folder / 'out' / 'hidden')
    status, output = call(folder, other, '--only', 'mine')
    assert status == 0, output
    waiting = folder / 'beside' / 'runs' / 'kd-seed0'
    assert [file.name for file in waiting.iterdir()] == ['fingerprint.json']

    hidden.rename(folder / 'out' / 'runs')
    status, output = call(folder, other)
    assert status == 0, output
    assert waiting.is_symlink()
    assert not (folder / 'beside' / 'runs' / 'mine-seed0').is_symlink()

    # that study begins it anew: nobody else writes in its folder
    theirs = folder / 'out' / 'runs' / 'kd-seed0' / 'result.json'
    theirs.unlink()
    status, output = call(folder, other)
    assert status == 0, output
    assert not waiting.is_symlink() and (waiting / 'result.json').is_file()
    assert not theirs.exists()


def test_a_method_learns_from_a_store_that_the_study_wrote(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    settings = study_project.settings()
    views = {
        'train_dataloader.sampler.views': 2,
        'default_hooks.logger.type': 'LoggerHook',
        'default_hooks.logger.interval': 1,
    }
    kd = dict(settings['methods']['kd'], options=views)
    study = study_project.declare(
        'stored',
        seeds=[0],
        runs=dict(settings['runs'], store=dict(kd, caches='teacher', seed=5)),
        methods=dict(
            student=dict(config=study_project.student, options=views),
            kd=kd,
            stored=dict(kd, needs=['teacher', 'store']),
        ),
    )
    folder = copy(finished, tmp_path)
    status, output = call(folder, study, '--fresh')
    assert status == 0, output
    found = results(folder)['runs']
    assert found['store-seed5'].keys() == {
        *('state', 'fingerprint', 'config', 'seed', 'processes', 'commands')
    }
    online, stored = (
        _losses(folder / 'out' / 'runs' / name) for name in ('kd-seed0', 'stored-seed0')
    )
    # the store is of half precision
    assert online != stored == pytest.approx(online, rel=1e-2)


def _losses(run: Path) -> list[float]:
    """Step by step."""
    lines = [json.loads(line) for line in next(run.rglob('scalars.json')).open()]
    return [line['loss'] for line in lines if 'loss' in line]


def test_another_machine_times_models_anew(
    study_project: StudyProject, finished: Path, tmp_path: Path
) -> None:
    from mmvkd.studies.plan import load_study
    from mmvkd.studies.records import times

    folder = copy(finished, tmp_path) / 'out'
    study = load_study(str(study_project.folder / 'study.py'), str(folder))
    file = folder / 'latency.json'
    (values,) = json.loads(file.read_text()).values()
    assert times(study)['latency_ms'] == values != {}
    file.write_text(json.dumps({'1 core, slow': dict.fromkeys(values, 999.0)}))
    assert times(study)['latency_ms'] == {}


_FORKS = """
import os
from pathlib import Path
from mmvkd.studies import processes
pid = processes.fork(lambda: print('lost') or 0, Path('/dev/full'))
print(processes.exit_code(os.waitpid(pid, 0)[1]))
"""


@linux
def test_a_fork_that_cannot_write_its_output_ends_there() -> None:
    # buffered, as a file is, so that it fails when it is flushed
    variables = {**os.environ, 'PYTHONUNBUFFERED': ''}
    found = subprocess.run(
        [sys.executable, '-c', _FORKS], env=variables, capture_output=True, text=True
    )
    assert found.stdout == '1\n', found.stderr


@pytest.mark.parametrize(
    'training',
    [
        {'init_cfg': dict(type='Pretrained', checkpoint='a.pth')},
        {'init_cfg': [dict(type='Kaiming', layer='Conv2d')]},
        {'frozen_stages': 1},
        {'frozen_stages': -1, 'init_cfg': None},
    ],
)
def test_models_that_are_trained_from_elsewhere_are_timed_once(
    study_project: StudyProject, tmp_path: Path, training: dict[str, Any]
) -> None:
    from mmvkd.studies.outcome import cost
    from mmvkd.studies.plan import load_study

    study = load_study(str(study_project.folder / 'study.py'), str(tmp_path))
    run = study.runs['student-seed0']
    plain = cost(study, run)
    options = {f'model.backbone.{key}': value for key, value in training.items()}
    begun = replace(run, options={**run.options, **options})
    assert plain['parameters'] > 0
    assert cost(study, begun) == plain
    other = replace(run, options={**run.options, 'model.cls_head.num_classes': 9})
    assert cost(study, other)['key'] != plain['key']


def test_a_failed_run_stops_its_cells_alone_and_the_study_goes_on_when_mended(
    study_project: StudyProject, tmp_path: Path
) -> None:
    teacher = Path(study_project.config('teacher'))
    text = Path(study_project.student).read_text()
    teacher.write_text(text.replace("type='TSNHead'", "type='TSNHaed'"))
    runs = dict(teacher=dict(config=str(teacher), seed=5))
    study = study_project.declare('failing', runs=runs, seeds=[0])
    status, output = call(tmp_path, study)
    assert status == 1
    assert 'teacher-seed5 FAILED; 1 runs that need it stay open: error: type' in output
    assert 'log: out/runs/teacher-seed5/run.log' in output
    assert 'once mended, the same study command goes on' in output
    found = results(tmp_path)
    states = {name: run['state'] for name, run in found['runs'].items()}
    assert states == {
        'teacher-seed5': 'failed',
        'kd-seed0': 'open',
        'student-seed0': 'finished',
    }
    report = (tmp_path / 'out' / 'report.md').read_text()
    assert '* KD, seed 0: failed: teacher-seed5, which it needs: error: type' in report
    # a call that does not try it again does not forget it
    call(tmp_path, study, '--only', 'student')
    assert results(tmp_path)['runs']['teacher-seed5']['state'] == 'failed'


def test_what_is_not_there_skips_the_study_in_a_line(
    study_project: StudyProject, tmp_path: Path
) -> None:
    study = study_project.declare('absent', requires={'no/where': 'fetch it'})
    status, output = call(tmp_path, study)
    assert status == 0
    assert "study 'small' skipped: 'no/where' does not exist; fetch it" in output
    assert not (tmp_path / 'out').exists()


@linux
def test_two_processes_train_a_run_and_die_with_the_study(
    study_project: StudyProject, tmp_path: Path
) -> None:
    study = study_project.declare(
        'two',
        runs={},
        methods=dict(student=dict(config=study_project.student, processes=2)),
        seeds=[0],
        options={'train_cfg.max_epochs': 1},
    )
    process = start(tmp_path, study)
    ranks: list[int] = []
    while process.poll() is None and len(ranks) < 2:
        time.sleep(0.1)
        tree = descendants(process.pid)
        ranks = [pid for pid in tree if _calls(pid, '--launcher') and _rank(pid)]
    # loaders fork workers, which look like their rank
    assert len(ranks) >= 2
    process.kill()
    process.communicate(timeout=60)
    _wait_until_gone(ranks)
    status, output = call(tmp_path, study)
    assert status == 0, output
    run = results(tmp_path)['runs']['student-seed0']
    assert run['commands']['train'].split()[1] == 'tools/dist_train.sh'
    assert run['state'] == 'finished'


def _calls(pid: int, word: str) -> bool:
    try:
        return word in Path(f'/proc/{pid}/cmdline').read_text().split('\0')
    except OSError:
        return False


def _rank(pid: int) -> bool:
    try:
        return 'LOCAL_RANK=' in Path(f'/proc/{pid}/environ').read_text()
    except OSError:
        return False
