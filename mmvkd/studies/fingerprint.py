"""What a run's result depends on, so that results of different origin never mix."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

import mmvkd
from mmvkd.datasets.fingerprint import CLIP_PACKAGES, DECODERS, installed, size_of
from mmvkd.differences import differences
from mmvkd.engine.launch import load_config
from mmvkd.files import file_hash
from mmvkd.models.checkpoints import find_checkpoint
from mmvkd.models.recognizers import recognizer_config
from mmvkd.studies.machine import visible_devices
from mmvkd.studies.study import Run
from mmvkd.tool_commands import tools_folder

_PACKAGES = (
    'torch',
    'numpy',
    'mmengine',
    *sorted({*DECODERS.values()}),
    *CLIP_PACKAGES,
)
# these present results and do not make any
_NOT_OF_RUNS = ('studies', 'visualization')
_WEIGHTS = ('load_from', 'checkpoint', 'pretrained')
_WITH_WEIGHTS = ('load_from', 'model')
_MODELS = ('model', 'student')
_OF_TEACHER = re.compile(r'model\.teachers\.[^.]+\.model\.')
_TOOLS = ('train.py', 'test.py', 'cache_teacher.py')


def fingerprint(run: Run, needs: Mapping[str, str]) -> dict[str, Any]:
    """Everything that determines a run's result, except where its files lie.

    Args:
        run: The run.
        needs: Digests of the runs that it needs, by name.

    Returns:
        Plain values: the config with all that it refers to, the code, lists of the data
        with the sizes of some clips, weights to start or learn from, versions, seed,
        processes, threads and the kind of device.
    """
    config = expanded(run)
    return dict(
        seed=run.seed,
        processes=run.processes,
        threads=run.threads,
        device='accelerator' if visible_devices(0, run.processes) else 'cpu',
        code=code_hash(),
        versions=versions(),
        data={**_lists(config), **_weights(config, set(run.needs))},
        needs={key: needs[name] for key, name in run.needs.items()},
        config={key: repr(value) for key, value in _leaves(config)},
    )


def digest(value: Mapping[str, Any]) -> str:
    """A short hash of a fingerprint."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def list_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """How two fingerprints differ, in a few words each."""
    found = []
    for key in ('config', 'code', 'data', 'versions', 'needs'):
        if old.get(key) == new.get(key):
            continue
        if key == 'code':
            found.append(f'code of mmvkd was {_short(old)}, now {_short(new)}')
            continue
        if key == 'needs':
            found.append('the runs that it needs')
            continue
        found += differences(old.get(key) or {}, new.get(key) or {})
    told = ('seed', 'processes', 'threads', 'device')
    then, now = ({key: each.get(key) for key in told} for each in (old, new))
    return found + differences(then, now)


def expanded(run: Run) -> dict[str, Any]:
    """The run's config as its tools read it, with the models that it names."""
    with config_of(run) as config:
        plain = config.to_dict()
        plain.pop('work_dir', None)
        return _resolved(plain)


@contextmanager
def config_of(run: Run) -> Iterator[Config]:
    """Give the run's config; while it is in use, the run's environment is set."""
    with environment(run.environment):
        yield load_config(run.config, run.options)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them afterwards."""
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
    """Versions of Python and of the packages that numbers depend on."""
    return {'python': platform.python_version(), **installed(*_PACKAGES)}


def _resolved(node: Any) -> Any:
    """The config, with models in place of the names of their configs."""
    if isinstance(node, Mapping):
        if isinstance(node.get('config'), str) and node['config'].endswith('.py'):
            node = recognizer_config(node)
        return {
            key: _resolved(
                recognizer_config(value)
                if key in _MODELS and isinstance(value, str)
                else value
            )
            for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return [_resolved(item) for item in node]
    return node


def _leaves(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Every innermost value of a config, with its dotted key."""
    items: Any = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    if not items:
        yield prefix[:-1], node
    for key, value in items:
        yield from _leaves(value, f'{prefix}{key}.')


def _lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """Hash of each list that a loader reads, and bytes of some of its clips."""
    found: dict[str, Any] = {}
    loaders = [value for key, value in config.items() if key.endswith('_dataloader')]
    for dataset in _mappings(loaders):
        if isinstance(dataset.get('ann_file'), str):
            root = dataset.get('data_root') or ''
            name = os.path.join(root, dataset['ann_file'])
            found[name] = _hash_file(name)
            delimiter = dataset.get('delimiter')
            for prefix in dict(dataset.get('data_prefix') or {}).values():
                folder = os.path.join(root, prefix)
                found[f'{name}, clips'] = _clip_bytes(name, folder, delimiter)
    return dict(sorted(found.items()))


def _weights(config: Mapping[str, Any], made: Collection[str]) -> dict[str, Any]:
    """Hash of the weights to start from, except those that runs of the study made.

    Args:
        config: The config of the run.
        made: Settings that name outputs of other runs, whose digests stand for them.
    """
    found = {}
    for key, name in _leaves({key: config.get(key) for key in _WITH_WEIGHTS}):
        if not isinstance(name, str) or key.rpartition('.')[2] not in _WEIGHTS:
            continue
        # a teacher's checkpoint replaces what its own config starts from
        if key in made or _OF_TEACHER.match(key):
            continue
        file = find_checkpoint(name.removeprefix('run://').partition('?')[0])
        if file is not None:
            found[name] = _hash_file(file)
    return dict(sorted(found.items()))


def _mappings(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside, the outermost included."""
    if isinstance(node, Mapping):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _mappings(item)


def _clip_bytes(name: str, folder: str, delimiter: Optional[str]) -> int:
    """Bytes of up to 100 clips, files or folders of frames, spread over a list."""
    lines = Path(name).read_text().splitlines() if Path(name).is_file() else []
    clips = [line.strip().split(delimiter)[0] for line in lines if line.strip()]
    chosen = clips[:: -(-len(clips) // 100)] if clips else []
    return sum(map(size_of, (os.path.join(folder, clip) for clip in chosen)))


def _hash_file(name: str) -> Optional[str]:
    return file_hash(Path(name)) if Path(name).is_file() else None


def _short(value: Mapping[str, Any]) -> str:
    return str(value.get('code', '?'))[:8]
