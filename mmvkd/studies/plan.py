"""From the few lines of a study to its runs and cells.

A study file is a config of plain values::

    name = 'baselines'
    data = 'motions'                      # MMVKD_DATA of every run
    # --cfg-options of every run: epochs, and where the schedule's cosine ends
    options = {'train_cfg.max_epochs': 30, 'param_scheduler.1.end': 30}
    seeds = [0, 1, 2]
    student = 'student'
    runs = dict(tsm_r50=dict(config='mmvkd::teachers/tsm_r50.py', seed=0))
    methods = dict(
        student=dict(config='mmvkd::students/tsm_r18.py'),
        kd=dict(config='mmvkd::distill/kd_tsm_r50_to_r18.py', needs=['tsm_r50']))

A cell is a method in a setting with a seed; a setting is a choice from each of the axes
``datasets``, ``pairs``, ``labels`` and ``schedules``. A choice may set ``options``,
``environment`` and ``data`` of its runs; its other fields are words that templates use.
A cell's run may need other runs, of ``runs`` or of ``methods``; one that several cells
need is run once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from mmvkd import packages
from mmvkd.datasets import motions
from mmvkd.studies.expansion import AXES, CHOICE, Expansion
from mmvkd.studies.study import Cell, Study, StudyError, require_known

_STUDY = {
    'name': str,
    'title': str,
    'out': str,
    'data': str,
    'environment': dict,
    'options': dict,
    'seeds': (list, tuple),
    'runs': dict,
    'methods': dict,
    'datasets': dict,
    'pairs': dict,
    'labels': dict,
    'schedules': dict,
    'student': str,
    'baselines': (list, tuple),
    'requires': dict,
    'remarks': (list, tuple),
    'classes': (list, tuple),
    'reversals': (list, tuple),
    'threads': int,
    'per_device': int,
}
_RUN = {
    'config': str,
    'needs': (list, tuple, dict),
    'options': dict,
    'environment': dict,
    'data': str,
    'seed': int,
    'processes': int,
    'threads': int,
    'title': str,
    'dataset': str,
    'pair': str,
    'labels': str,
    'schedule': str,
}
_METHOD = {**_RUN, 'seeds': (list, tuple), 'settings': (list, tuple)}
_SHARED = {**_RUN, 'caches': str}


def load_study(path: str, folder: Optional[str] = None) -> Study:
    """Read a study file.

    Args:
        path: Path of the file, or a name such as ``mmvkd::studies/quickstart.py``.
        folder: The folder of all that it writes; default: the file's ``out``, or else
            ``work_dirs/studies/NAME``.

    Raises:
        FileNotFoundError: if there is no such file.
        StudyError: if something in it is wrong.
    """
    file = packages.config_file(path)
    if not Path(file).is_file():
        near = packages.near_files(file)
        raise FileNotFoundError(f"study '{path}' does not exist{near}")
    settings = Config.fromfile(file).to_dict()
    settings.setdefault('name', Path(file).stem)
    return make_study(settings, folder)


def make_study(settings: Mapping[str, Any], folder: Optional[str] = None) -> Study:
    """Check a declaration and expand it; see :func:`load_study`."""
    settings = _checked(settings)
    methods = settings['methods']
    expansion = Expansion(settings)
    names = [_setting(choice) for choice in expansion.choices()]
    cells, teachers = _cells(settings, expansion)
    for method, spec in methods.items():
        for setting in spec.get('settings', ()):
            require_known(f"setting '{setting}' of '{method}'", setting, names)
    student = settings.get('student', '')
    baselines = list(settings.get('baselines') or ([student] if student else []))
    for name in [*baselines, *([student] if student else [])]:
        require_known(f"baseline or student '{name}'", name, methods)
    classes, reversals = _classes(settings)
    name = settings['name']
    return Study(
        name=name,
        title=settings.get('title') or name,
        folder=Path(folder or settings.get('out') or f'work_dirs/studies/{name}'),
        runs=expansion.runs,
        cells=cells,
        methods={k: v.get('title') or k for k, v in methods.items()},
        settings=names,
        teachers=teachers,
        student=student,
        baselines=baselines,
        requires=settings.get('requires') or {},
        remarks=settings.get('remarks') or [],
        classes=classes,
        reversals=reversals,
        per_device=settings.get('per_device', 4),
    )


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration, without private variables of its file.

    Raises:
        StudyError: if a field is not known or of another type than it must be.
    """
    settings = {k: v for k, v in settings.items() if not k.startswith('_')}
    _check('the study', settings, _STUDY)
    methods, shared = settings.get('methods') or {}, settings.get('runs') or {}
    if not methods:
        raise StudyError('the study declares no `methods`')
    for name, spec in {**shared, **methods}.items():
        if not isinstance(spec, Mapping) or 'config' not in spec:
            raise StudyError(f"'{name}' is {spec!r}; expected dict(config=…)")
        _check(f"'{name}'", spec, _METHOD if name in methods else _SHARED)
        if name in shared and name in methods:
            raise StudyError(f"'{name}' is both in `runs` and in `methods`")
    for axis in AXES:
        for name, choice in (settings.get(axis) or {}).items():
            extra = {k: v for k, v in choice.items() if k in CHOICE}
            _check(f"'{name}' of `{axis}`", extra, CHOICE)
    return settings


def _check(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key, value in given.items():
        require_known(f'{where} has a field', key, known)
        kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
        if not isinstance(value, kinds) or isinstance(value, bool):
            expected = ' or '.join(kind.__name__ for kind in kinds)
            raise StudyError(f'{where}: {key}={value!r}, expected a {expected}')


def _setting(choice: Mapping[str, str]) -> str:
    return ' · '.join(value for value in choice.values() if value)


def _cells(
    settings: Mapping[str, Any], expansion: Expansion
) -> tuple[list[Cell], dict[str, dict[str, str]]]:
    """The cells, whose runs are made, and the titles of their teachers by setting."""
    methods = settings['methods']
    seeds = settings.get('seeds') or [0]
    seeded = [(m, s) for m, spec in methods.items() for s in spec.get('seeds') or seeds]
    cells: list[Cell] = []
    teachers: dict[str, dict[str, str]] = {}
    for choice in expansion.choices():
        setting = _setting(choice)
        teachers[setting] = {}
        for method, seed in seeded:
            if setting not in methods[method].get('settings', [setting]):
                continue
            run = expansion.run(expansion.formatted(method, choice), choice, int(seed))
            cell = Cell(method, setting, expansion.runs[run].seed, run)
            if cell not in cells:
                cells.append(cell)
            for key, need in expansion.runs[run].needs.items():
                if key.startswith('model.teachers.') and need in expansion.shared:
                    teachers[setting][need] = expansion.shared[need]
    return cells, teachers


def _classes(
    settings: Mapping[str, Any],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Names and reversal pairs of classes; those of Motions need not be given."""
    classes = list(settings.get('classes') or [])
    pairs = [(str(a), str(b)) for a, b in settings.get('reversals') or []]
    if not classes and settings.get('data', 'motions') == 'motions':
        classes, pairs = list(motions.CLASSES), list(motions.REVERSAL_PAIRS)
    for name in (name for pair in pairs for name in pair):
        require_known(f"class '{name}' of `reversals`", name, classes)
    return classes, pairs
