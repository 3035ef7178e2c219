"""Both kinds of install, and the scripts that make environments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ('mmvkd', 'configs', 'tools', 'requirements')
FILES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md')
TSM = 'recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'

LOOK = """
import importlib.metadata, json, sys
import mmvkd
from mmengine.config import Config
from mmvkd.packages import config_file
ours, theirs = (Config.fromfile(file) for file in sys.argv[1:3])
print(json.dumps(dict(
    package=mmvkd.__file__,
    config=config_file('mmvkd::' + sys.argv[3]),
    ours=sorted(ours.keys()),
    theirs=theirs.model.backbone.type,
    requires=importlib.metadata.requires('mmvkd') or [],
    version=importlib.metadata.version('mmvkd'))))
"""


def any_config() -> str:
    """Name of one of the checkout's own configs, the main one if it is there."""
    folder = ROOT / 'configs'
    main = folder / 'distill' / 'graph_tsm_r50_to_r18.py'
    files = [main] if main.is_file() else sorted(folder.rglob('*.py'))
    assert files, f'no config below {folder}'
    return files[0].relative_to(folder).as_posix()


def listing(folder: Path, pattern: str = '*') -> set[str]:
    """Names of all files below a folder that Python did not write by itself."""
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob(pattern)
        if file.is_file() and file.suffix != '.pyc'
    }


def environment() -> dict[str, str]:
    """The environment without what would let a process find this checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('PIP_', 'PYTHON'))}
    return {**kept, 'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'OMP_NUM_THREADS': '1'}


@pytest.fixture(scope='module', params=['plain', 'editable'])
def install(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> types.SimpleNamespace:
    """A copy of the checkout, installed beside an environment that has the stack."""
    if int(version('setuptools').split('.')[0]) < 64:
        pytest.skip('setuptools < 64 makes no editable installs by PEP 660')
    folder = tmp_path_factory.mktemp(request.param)
    source = folder / 'source'
    for part in PARTS:
        unwanted = shutil.ignore_patterns('__pycache__')
        shutil.copytree(str(ROOT / part), str(source / part), ignore=unwanted)
    for file in FILES:
        if (ROOT / file).is_file():
            shutil.copy(str(ROOT / file), str(source / file))
    stale = source / 'build' / 'lib' / 'mmvkd' / 'stale.py'
    stale.parent.mkdir(parents=True)
    stale.write_text('')
    before = listing(source)

    # The packages of the running interpreter are visible in the new environment, and
    # pip cannot touch them: they lie outside of it.
    venv.create(str(folder / 'venv'), with_pip=False)
    python = str(folder / 'venv' / 'bin' / 'python')
    site = next((folder / 'venv' / 'lib').glob('python*/site-packages'))
    shared = [path for path in sys.path if path.endswith('-packages')]
    (site / 'shared.pth').write_text('\n'.join(shared) + '\n')

    kind = ['--editable'] if request.param == 'editable' else []
    # With its requirements and without an index: there is nothing to fetch.
    pip = ['-m', 'pip', 'install', '--no-index', '--no-build-isolation', '-I', '-q']
    subprocess.run(
        [python, *pip, *kind, str(source)],
        check=True,
        cwd=str(folder),
        env=environment(),
    )
    for name, base in (('ours', f'mmvkd::{any_config()}'), ('theirs', TSM)):
        base = base if '::' in base else f'mmaction::{base}'
        (folder / f'{name}.py').write_text(f'_base_ = [{base!r}]\n')
    arguments = [str(folder / 'ours.py'), str(folder / 'theirs.py'), any_config()]
    done = subprocess.run(
        [python, '-W', 'ignore', '-c', LOOK, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=str(folder),
        env=environment(),
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    return types.SimpleNamespace(
        kind=request.param, source=source, site=site, before=before, **seen
    )


def test_both_kinds_of_install_resolve_our_and_mmactions_configs(
    install: types.SimpleNamespace,
) -> None:
    home = install.source if install.kind == 'editable' else install.site
    assert Path(install.package) == home / 'mmvkd' / '__init__.py'
    folder = home / ('configs' if install.kind == 'editable' else 'mmvkd/.mim/configs')
    assert Path(install.config) == folder / any_config()
    assert install.ours
    assert install.theirs == 'ResNetTSM'


def test_an_install_asks_for_nothing_that_could_replace_the_users_stack(
    install: types.SimpleNamespace,
) -> None:
    assert install.requires == []
    added = {path.name for path in install.site.iterdir()} - {
        'shared.pth',
        '__pycache__',
    }
    assert all('mmvkd' in name for name in added)


def test_a_plain_install_carries_every_config_and_the_tools(
    install: types.SimpleNamespace,
) -> None:
    mim = install.site / 'mmvkd' / '.mim'
    if install.kind == 'editable':
        assert not mim.exists()
        return
    configs = listing(install.source / 'configs')
    published = {name for name in configs if name.startswith('studies/results/')}
    assert listing(mim / 'configs') == configs - published
    left_out = {'_venv.sh', 'quickstart.sh', 'run_tests.sh', 'test_matrix.sh'}
    assert listing(mim / 'tools') == listing(install.source / 'tools') - left_out
    ours = listing(install.source / 'mmvkd', '*.py')
    assert (
        listing(install.site / 'mmvkd', '*.py') - listing(mim.parent, '.mim/*') >= ours
    )
    assert not (install.site / 'mmvkd' / 'stale.py').exists()


def test_an_install_leaves_the_checkout_as_it_was(
    install: types.SimpleNamespace,
) -> None:
    added = {
        name
        for name in listing(install.source) - install.before
        if not name.startswith(('build/', 'mmvkd.egg-info/'))
    }
    assert added == set()
    assert not any(path.is_symlink() for path in install.source.rglob('*'))


def test_the_installed_version_is_the_packages(install: types.SimpleNamespace) -> None:
    import mmvkd

    assert install.version == mmvkd.__version__


# --- requirements and scripts ---------------------------------------------------------


def names(file: str) -> dict[str, str]:
    """Map each package of a requirements file to what the file says about it."""
    lines = (ROOT / 'requirements' / file).read_text().splitlines()
    told = [line for line in lines if line and not line.startswith('#')]
    return {re.split('[<>=]', line)[0].lower(): line for line in told}


def test_everything_installed_by_the_scripts_is_pinned() -> None:
    pinned = names('constraints.txt')
    assert all('==' in line for line in pinned.values())
    wanted = {**names('runtime.txt'), **names('tests.txt')}
    assert set(wanted) <= set(pinned)


def test_no_list_has_both_builds_of_mmcv_or_transformers() -> None:
    for file in ('runtime.txt', 'tests.txt', 'optional.txt', 'constraints.txt'):
        assert not {'mmcv', 'transformers'} & set(names(file))


def bash(script: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', script],
        capture_output=True,
        text=True,
        cwd=str(ROOT),
        env={**environment(), **variables},
    )


# Stands for Python: makes a folder for `-m venv`, notes what pip is asked to do.
FAKE = """#!/usr/bin/env bash
case "$*" in
    -V) echo "Python 3.11.0" ;;
    '-m venv'*) mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
    '-m pip install'*) echo "$*" >>"$LOG"; exit "${PIP_FAILS:-0}" ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path) -> types.SimpleNamespace:
    python = tmp_path / 'python'
    python.write_text(FAKE)
    python.chmod(0o755)
    wanted = tmp_path / 'wanted.txt'
    wanted.write_text('torch\n')
    log = tmp_path / 'log'
    call = f'ensure_venv {tmp_path}/venv {python} {wanted} {wanted}'
    return types.SimpleNamespace(
        script=f'source tools/_venv.sh; {call}', wanted=wanted, log=log
    )


def test_a_finished_environment_is_reused_until_its_requirements_change(
    fake: types.SimpleNamespace,
) -> None:
    assert bash(fake.script, LOG=str(fake.log)).returncode == 0
    lines = fake.log.read_text().splitlines()
    assert len(lines) == 2
    assert f'-r {fake.wanted} -c {fake.wanted}' in lines[0]
    assert f'--no-deps --no-build-isolation --editable {ROOT}' in lines[1]
    again = bash(fake.script, LOG=str(fake.log))
    assert again.returncode == 0
    assert again.stdout == ''
    assert fake.log.read_text().splitlines() == lines
    fake.wanted.write_text('torch\nnumpy\n')
    assert bash(fake.script, LOG=str(fake.log)).returncode == 0
    assert len(fake.log.read_text().splitlines()) == 4


def test_a_failed_installation_is_told_and_tried_again(
    fake: types.SimpleNamespace,
) -> None:
    failed = bash(fake.script, LOG=str(fake.log), PIP_FAILS='1')
    assert failed.returncode != 0
    assert 'error: pip could not install the requirements' in failed.stderr
    assert bash(fake.script, LOG=str(fake.log)).returncode == 0
    assert len(fake.log.read_text().splitlines()) == 3


def test_an_unfit_python_is_refused_in_a_line() -> None:
    done = bash('source tools/_venv.sh; find_base_python', PYTHON='/bin/false')
    assert done.returncode != 0
    assert done.stderr.startswith('error: the tested stack needs Python 3.11 or 3.12')
    assert len(done.stderr.splitlines()) == 1


def test_the_test_command_runs_every_step_and_fails_if_one_fails(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / 'checkout'
    for file in ('tools/_venv.sh', 'tools/run_tests.sh', '.ci/run', 'setup.py'):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(ROOT / file), str(checkout / file))
    shutil.copytree(str(ROOT / 'requirements'), str(checkout / 'requirements'))
    python = tmp_path / 'python'
    mypy_fails = """    '-m mypy'*) echo "$*" >>"$LOG"; exit "${MYPY_FAILS:-0}" ;;
    '-m ruff'*|'-m pytest'*) echo "$*" >>"$LOG" ;;
esac"""
    python.write_text(FAKE.replace('esac', mypy_fails))
    python.chmod(0o755)
    log = tmp_path / 'log'
    # the environment that these tests run in is not the checkout's
    variables = dict(PYTHON=str(python), LOG=str(log), VENV='')
    good = bash(f'bash {checkout}/.ci/run -k some', **variables)
    assert good.returncode == 0, good.stderr
    cores = os.cpu_count()
    pytest_step = f'pytest --numprocesses {cores}'
    steps = ['ruff check .', 'ruff format --check .', 'mypy', f'{pytest_step} -k some']
    assert log.read_text().splitlines()[2:] == [f'-m {step}' for step in steps]
    log.unlink()
    bad = bash(f'bash {checkout}/.ci/run', MYPY_FAILS='1', **variables)
    assert bad.returncode != 0
    assert 'failed: mypy' in bad.stderr
    assert log.read_text().splitlines()[-1] == f'-m {pytest_step}'
