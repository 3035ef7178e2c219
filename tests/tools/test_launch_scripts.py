"""The shell scripts."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from small_project import TOOLS, Project, tool


def launch(script: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    """Run a script with this python."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ('OMP_NUM_THREADS', 'PORT', 'NNODES', 'MASTER_ADDR', 'PYTHONPATH')
    }
    clean.update(PYTHON=sys.executable, OMP_NUM_THREADS='1')
    clean.update(env)
    return subprocess.run(
        [str(TOOLS / script), *map(str, args)],
        capture_output=True,
        text=True,
        env={key: value for key, value in clean.items() if value},
        timeout=300,
    )


def fake(folder: Path, name: str) -> Path:
    """A program that writes its arguments, one a line, and some variables."""
    path = folder / name
    path.write_text(
        '#!/usr/bin/env bash\n'
        'printf "%s\\n" "$@" "OMP=${OMP_NUM_THREADS:-}" "PATHS=${PYTHONPATH:-}"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs as many GPUs as processes')
def test_two_processes_train_and_score(project: Project, tmp_path: Path) -> None:
    config = project.distiller('distilled')
    run = launch('dist_train.sh', config, '2', '--work-dir', str(tmp_path))
    assert run.returncode == 0, run.stderr
    saved = tmp_path / 'epoch_1.pth'
    # eight clips, two processes, two clips each: two steps instead of four
    assert torch.load(saved, weights_only=True)['meta']['iter'] == 2
    out = tmp_path / 'metrics.json'
    run = launch('dist_test.sh', config, str(saved), '2', '--out', str(out))
    assert run.returncode == 0, run.stderr
    assert json.loads(out.read_text()) == tool('test')([config, str(saved)])


def threads() -> str:
    """The names of this process' threads, those of libraries included."""
    return ' '.join(file.read_text() for file in Path('/proc/self/task').glob('*/comm'))


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='no /proc')
@pytest.mark.skipif(torch.cuda.is_available(), reason='gloo is for processes on CPUs')
@pytest.mark.skipif(torch.__version__.startswith('2.4'), reason='threads have no names')
@pytest.mark.parametrize('name', ['train', 'test'])
def test_no_thread_of_the_group_outlives_a_tool(
    name: str,
    project: Project,
    checkpoint: str,
    one_process: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    during = []
    run = getattr(Runner, name)
    spy = lambda self: (run(self), during.append(threads()))[0]  # noqa: E731
    monkeypatch.setattr(Runner, name, spy)
    arguments = [project.distiller('distilled'), '--work-dir', str(tmp_path)]
    if name == 'test':
        arguments.insert(1, checkpoint)
    tool(name)([*arguments, '--launcher', 'pytorch'])
    assert 'gloo' in during[0]
    assert 'gloo' not in threads()


def test_a_run_that_fails_ends_with_one_line(tmp_path: Path) -> None:
    for name in ('_launch.sh', 'dist_train.sh'):
        (tmp_path / name).write_bytes((TOOLS / name).read_bytes())
    (tmp_path / 'train.py').write_text(
        'import os, pathlib, sys\n'
        "pathlib.Path(os.environ['MMVKD_ERROR_FILE']).write_text('error: why')\n"
        'sys.exit(1)\n'
    )
    run = subprocess.run(
        ['bash', str(tmp_path / 'dist_train.sh'), 'a.py', '2'],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHON=sys.executable),
    )
    assert run.returncode == 1
    assert 'Traceback' not in run.stderr
    assert run.stderr.count('error: why') == 1
    assert run.stderr.endswith('error: why')


def test_one_machine_takes_any_free_port(tmp_path: Path) -> None:
    python = fake(tmp_path, 'python')
    lines = launch('dist_train.sh', 'a.py', '3', '--amp', PYTHON=str(python)).stdout
    words = lines.splitlines()
    assert '--standalone' in words and '--master-port' not in words
    assert words[words.index('--nproc-per-node') + 1] == '3'
    start = words.index(str(TOOLS / 'train.py'))
    assert words[start + 1 : start + 5] == ['a.py', '--amp', '--launcher', 'pytorch']


@pytest.mark.parametrize(
    ('env', 'port'), [({}, '29500'), ({'PORT': '1234'}, '1234')], ids=['default', 'own']
)
def test_several_machines_meet_at_the_first(
    tmp_path: Path, env: dict[str, str], port: str
) -> None:
    python = fake(tmp_path, 'python')
    cluster = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', **env)
    run = launch('dist_test.sh', 'a.py', 'b.pth', '4', PYTHON=str(python), **cluster)
    words = run.stdout.splitlines()
    for flag, value in {
        '--nnodes': '2',
        '--node-rank': '1',
        '--master-addr': '10.0.0.1',
        '--master-port': port,
        '--nproc-per-node': '4',
        str(TOOLS / 'test.py'): 'a.py',
        'a.py': 'b.pth',
    }.items():
        assert words[words.index(flag) + 1] == value


def test_several_machines_need_the_address_of_the_first(tmp_path: Path) -> None:
    python = fake(tmp_path, 'python')
    settings = dict(PYTHON=str(python), NNODES='2', NODE_RANK='1')
    run = launch('dist_train.sh', 'a.py', '2', **settings)
    assert run.returncode == 2
    assert 'NNODES=2 needs MASTER_ADDR' in run.stderr


def test_a_signal_to_the_script_reaches_what_it_started(tmp_path: Path) -> None:
    python = tmp_path / 'python'
    python.write_text('#!/usr/bin/env bash\necho started $$\nexec sleep 60\n')
    python.chmod(0o755)
    script = subprocess.Popen(
        [str(TOOLS / 'dist_train.sh'), 'a.py', '2'],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHON=str(python)),
    )
    assert script.stdout is not None
    started = int(script.stdout.readline().split()[1])
    script.terminate()
    assert script.wait(timeout=60) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(started, 0)


def test_on_a_cpu_the_cores_are_shared_out(tmp_path: Path) -> None:
    python = fake(tmp_path, 'python')
    settings = dict(PYTHON=str(python), CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='')
    cores = len(os.sched_getaffinity(0))
    for count in (1, 2 * cores):
        run = launch('dist_train.sh', 'a.py', str(count), **settings)
        assert f'OMP={max(1, cores // count)}' in run.stdout.splitlines()
    settings['OMP_NUM_THREADS'] = '7'
    run = launch('dist_train.sh', 'a.py', '2', **settings)
    assert 'OMP=7' in run.stdout.splitlines()


def test_the_package_beside_the_tools_is_found(tmp_path: Path) -> None:
    python = fake(tmp_path, 'python')
    run = launch('dist_train.sh', 'a.py', '1', PYTHON=str(python), CDPATH='.:/')
    assert f'PATHS={TOOLS.parent}' in run.stdout.splitlines()


def test_without_mmaction2_the_checkouts_own_environment_is_used(
    tmp_path: Path,
) -> None:
    tools, bin_folder = tmp_path / 'tools', tmp_path / '.venv' / 'bin'
    tools.mkdir()
    bin_folder.mkdir(parents=True)
    for name in ('_launch.sh', 'dist_train.sh'):
        (tools / name).write_bytes((TOOLS / name).read_bytes())
    path = tmp_path / 'path'
    path.mkdir()
    for name in ('python', 'python3'):
        fake(path, name).write_text('#!/usr/bin/env bash\nexit 1\n')
    command = ['bash', str(tools / 'dist_train.sh'), 'a.py', '1']
    env = dict(PATH=f'{path}:{os.environ["PATH"]}')
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 1
    assert run.stderr.startswith('error: no python with MMAction2')
    fake(bin_folder, 'python')
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0
    assert '--nproc-per-node' in run.stdout


@pytest.mark.parametrize(
    ('script', 'args'),
    [
        ('dist_train.sh', ['a.py']),
        ('dist_train.sh', ['a.py', '--amp']),
        ('dist_test.sh', ['a.py', '2']),
        ('slurm_train.sh', ['gpu', 'job']),
        ('slurm_test.sh', ['gpu', 'job', 'a.py']),
    ],
)
def test_too_few_arguments_show_the_usage(script: str, args: list[str]) -> None:
    run = launch(script, *args)
    assert run.returncode == 2
    assert run.stderr.startswith('usage: ')


def test_slurm_gets_tasks_and_resources(tmp_path: Path) -> None:
    fake(tmp_path, 'srun')
    path = f'{tmp_path}:{os.environ["PATH"]}'
    run = launch(
        'slurm_train.sh', *('part', 'job', 'a.py', '--seed', '1'), PATH=path, GPUS='16'
    )
    words = run.stdout.splitlines()
    for word in (
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--job-name=job',
    ):
        assert word in words
    start = words.index(str(TOOLS / 'train.py'))
    assert words[start + 1 : start + 6] == [
        'a.py',
        '--seed',
        '1',
        '--launcher',
        'slurm',
    ]
    small = dict(PATH=path, GPUS='2', GPU_RESOURCE='none', SRUN_ARGS='--time=5 --quiet')
    run = launch('slurm_test.sh', 'part', 'job', 'a.py', 'b.pth', **small)
    words = run.stdout.splitlines()
    assert not any(word.startswith('--gres') for word in words)
    assert {'--ntasks=2', '--ntasks-per-node=2', '--time=5', '--quiet'} <= set(words)
    assert words[words.index(str(TOOLS / 'test.py')) + 2] == 'b.pth'
