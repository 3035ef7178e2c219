"""What a run's result depends on, so that results of different origin never mix."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

import mmvkd
from mmvkd.engine.launch import load_config
from mmvkd.models.recognizers import recognizer_config
from mmvkd.studies.commands import tools_folder
from mmvkd.studies.machine import has_accelerator
from mmvkd.studies.plan import Run, Study

_PACKAGES = ('torch', 'numpy', 'mmengine', 'mmaction2', 'decord')
# these tell of results and make none
_NOT_OF_RUNS = ('studies', 'visualization')
_WEIGHTS = ('load_from', 'checkpoint', 'pretrained')
_TOOLS = ('train.py', 'test.py', 'cache_teacher.py')


def fingerprint(study: Study, run: Run, needs: Mapping[str, str]) -> dict[str, Any]:
    """Everything that decides a run's result, but for where its files lie.

    Args:
        study: Of the run.
        run: The run.
        needs: Digests of the runs that it needs, by name.

    Returns:
        Plain values: the config with all that it refers to, the code, lists of the data
        and weights to start or learn from, versions, seed, processes, threads and the
        kind of device.
    """
    config = expanded(run)
    return dict(
        seed=run.seed,
        processes=run.processes,
        threads=run.threads,
        device='accelerator' if has_accelerator() else 'cpu',
        code=code_hash(),
        versions=versions(),
        data={name: _hash_file(name) for name in sorted(set(_files(config)))},
        needs={key: needs[name] for key, name in run.needs.items()},
        config=dict(_flat(config)),
    )


def digest(value: Mapping[str, Any]) -> str:
    """A short hash of a fingerprint."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two fingerprints differ by, a few words each."""
    found = []
    for key in ('config', 'code', 'data', 'versions', 'needs'):
        if old.get(key) == new.get(key):
            continue
        if key == 'code':
            found.append(f'code of mmvkd {_short(old)}, now {_short(new)}')
            continue
        if key == 'needs':
            found.append('the runs that it needs')
            continue
        before, after = old.get(key) or {}, new.get(key) or {}
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                was, now = (
                    str(part.get(name, 'absent'))[:40] for part in (before, after)
                )
                found.append(f'{name} {was}, now {now}')
    for key in ('seed', 'processes', 'threads', 'device'):
        if old.get(key) != new.get(key):
            found.append(f'{key} {old.get(key)}, now {new.get(key)}')
    return found


def expanded(run: Run) -> dict[str, Any]:
    """The run's config as its tools read it, with the models that it names."""
    with config_of(run) as config:
        plain = config.to_dict()
        plain.pop('work_dir', None)
        return _resolved(plain)


@contextmanager
def config_of(run: Run) -> Iterator[Config]:
    """Give the run's config, in the environment of the run while it is in use."""
    with environment(run.environment):
        yield load_config(run.config, run.options)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put them back."""
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@cache
def code_hash() -> str:
    """Hash of the package's modules and of the tools that runs call."""
    package = Path(mmvkd.__file__).resolve().parent
    files = [
        file
        for file in sorted(package.rglob('*.py'))
        if file.relative_to(package).parts[0] not in (*_NOT_OF_RUNS, '.mim')
    ]
    files += [tools_folder() / name for name in _TOOLS]
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b'\0' + file.read_bytes())
    return total.hexdigest()[:16]


@cache
def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    found = {'python': platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = 'none'
    return found


def _resolved(node: Any) -> Any:
    """With the model in place of each ``dict(config='….py', …)``."""
    if isinstance(node, Mapping):
        if isinstance(node.get('config'), str) and node['config'].endswith('.py'):
            node = recognizer_config(node)
        return {key: _resolved(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_resolved(item) for item in node]
    return node


def _flat(node: Any, prefix: str = '') -> Iterator[tuple[str, str]]:
    items: Any = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    if not items:
        yield prefix[:-1], repr(node)
    for key, value in items:
        yield from _flat(value, f'{prefix}{key}.')


def _files(node: Any) -> Iterator[str]:
    """The annotation files of the data sets, and files of weights."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if not isinstance(value, str):
                yield from _files(value)
            # what another run makes is told by its digest, and is a folder
            elif key == 'ann_file' or (key in _WEIGHTS and Path(value).is_file()):
                yield value
    elif isinstance(node, list):
        for item in node:
            yield from _files(item)


def _hash_file(name: str) -> Optional[str]:
    file = Path(name)
    if not file.is_file():
        return None
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _short(value: Mapping[str, Any]) -> str:
    return str(value.get('code', '?'))[:8]
