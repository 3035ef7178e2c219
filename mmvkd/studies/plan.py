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
``datasets``, ``pairs``, ``labels`` and ``schedules``. A cell's run may need other runs,
of ``runs`` or of ``methods``; one that several cells need is run once.
"""

from __future__ import annotations

import difflib
import itertools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from mmvkd import compat

AXES = ('datasets', 'pairs', 'labels', 'schedules')
_PIN = dict(zip(AXES, ('dataset', 'pair', 'labels', 'schedule')))
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
_CHOICE = {'options': dict, 'environment': dict, 'data': str}


class StudyError(ValueError):
    """A study that cannot run as it is declared, or with its folder as it is."""


@dataclass(frozen=True)
class Run:
    """One training and its test, or the store of a teacher's outputs.

    Args:
        name: Unique in the study; also its folder.
        config: As ``tools/train.py`` takes it.
        seed: Seed of the run.
        needs: Names of runs by the option that gets their checkpoint or store.
        options: ``--cfg-options``, except those of ``needs``.
        environment: Variables, including those of the data set.
        processes: More than one are run by ``tools/dist_train.sh``.
        threads: Threads of each process, on a CPU.
        caches: The config's teacher whose outputs are kept, '' for a training.
    """

    name: str
    config: str
    seed: int
    needs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    threads: int = 1
    caches: str = ''


@dataclass(frozen=True)
class Cell:
    """A number of the table: a method in a setting with a seed."""

    method: str
    setting: str
    seed: int
    run: str


@dataclass(frozen=True)
class Study:
    """What is to be run, and how it is to be reported.

    Args:
        name: Name of the study.
        title: Title of its report.
        folder: The folder of all that it writes.
        runs: Runs by name, each after those that it needs.
        cells: By setting, in the order of methods.
        methods: Titles by name.
        settings: Names, in order; one empty name where no axis is declared.
        teachers: Names of shared runs that cells need, with titles, by setting.
        student: The method that is the student alone, '' if none is.
        baselines: Methods that others are compared with.
        requires: What to do if a required path is missing, by path.
        remarks: The author's remarks, for the report.
        classes: Names; empty if not known.
        reversals: Pairs of names, one the reversal of the other.
        per_device: Runs at a time on one accelerator.
    """

    name: str
    title: str
    folder: Path
    runs: Mapping[str, Run]
    cells: Sequence[Cell]
    methods: Mapping[str, str]
    settings: Sequence[str]
    teachers: Mapping[str, Mapping[str, str]]
    student: str
    baselines: Sequence[str]
    requires: Mapping[str, str]
    remarks: Sequence[str]
    classes: Sequence[str]
    reversals: Sequence[tuple[str, str]]
    per_device: int

    def chain(self, name: str) -> list[str]:
        """The runs that ``name`` needs, in order, itself last."""
        found: list[str] = []
        for need in self.runs[name].needs.values():
            found += [run for run in self.chain(need) if run not in found]
        return [*found, name]

    def runs_of(self, methods: Sequence[str]) -> list[str]:
        """The runs of some methods' cells, with all that they need; for none, all runs.

        They are in the order of the cells, each after what it needs.

        Raises:
            StudyError: If there is no such method.
        """
        for name in methods:
            _known(f"method '{name}'", name, self.methods)
        ends = [c.run for c in self.cells if not methods or c.method in methods]
        return list(dict.fromkeys(run for end in ends for run in self.chain(end)))


def load_study(path: str, folder: Optional[str] = None) -> Study:
    """Read a study file.

    Args:
        path: Path of the file, or a name such as ``mmvkd::studies/quickstart.py``.
        folder: The folder of all that it writes; default: the file's ``out``, or else
            ``work_dirs/studies/NAME``.

    Raises:
        FileNotFoundError: If there is no such file.
        StudyError: If something in it is wrong.
    """
    file = compat.config_file(path)
    if not Path(file).is_file():
        raise FileNotFoundError(f"study '{path}' does not exist")
    settings = Config.fromfile(file).to_dict()
    settings.setdefault('name', Path(file).stem)
    return make_study(settings, folder)


def make_study(settings: Mapping[str, Any], folder: Optional[str] = None) -> Study:
    """Check a declaration and expand it; see :func:`load_study`."""
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
            extra = {k: v for k, v in choice.items() if k in _CHOICE}
            _check(f"'{name}' of `{axis}`", extra, _CHOICE)
    expansion = _Expansion(settings, shared, methods)
    seeds = settings.get('seeds') or [0]
    seeded = [(m, s) for m, spec in methods.items() for s in spec.get('seeds') or seeds]
    cells: list[Cell] = []
    names: list[str] = []
    teachers: dict[str, dict[str, str]] = {}
    for choice in expansion.choices():
        setting = ' · '.join(value for value in choice.values() if value)
        names.append(setting)
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
    for method, spec in methods.items():
        for setting in spec.get('settings', ()):
            _known(f"setting '{setting}' of '{method}'", setting, names)
    student = settings.get('student', '')
    baselines = list(settings.get('baselines') or ([student] if student else []))
    for name in [*baselines, *([student] if student else [])]:
        _known(f"baseline or student '{name}'", name, methods)
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


class _Expansion:
    """Makes runs from templates, each once."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        shared: Mapping[str, Any],
        methods: Mapping[str, Any],
    ) -> None:
        self.settings = settings
        self.templates = {**shared, **methods}
        self.axes = {axis: settings.get(axis) or {'': {}} for axis in AXES}
        self.titles = {k: v.get('title') for k, v in shared.items()}
        self.runs: dict[str, Run] = {}
        self.shared: dict[str, str] = {}  # titles of trained runs that are no method's
        self.uses: dict[str, dict[str, str]] = {}  # by run, the choices it depends on
        self._open: list[str] = []

    def choices(self) -> list[dict[str, str]]:
        """One choice from each axis, in every combination."""
        product = itertools.product(*self.axes.values())
        return [dict(zip(AXES, names)) for names in product]

    def fields(self, choice: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """The words that a template can use, by axis."""
        found = {}
        for axis, name in choice.items():
            words = {k: v for k, v in self.axes[axis][name].items() if k not in _CHOICE}
            found[axis] = {**words, _PIN[axis]: name}
        return found

    def formatted(self, template: str, choice: Mapping[str, str]) -> str:
        return _format(template, self.fields(choice), set())

    def run(self, name: str, choice: Mapping[str, str], seed: int) -> str:
        """Make the run of a template's (formatted) name; return the run's name."""
        template = self._template(name, choice)
        spec = self.templates[template]
        choice = self._pinned(name, spec, choice)
        if name in self._open:
            circle = ' → '.join([*self._open, name])
            raise StudyError(f'runs need each other: {circle}')
        fields = self.fields(choice)
        used: set[str] = set()
        named: set[str] = set()
        _format(template, fields, named)
        plain = {k: v for k, v in spec.items() if k not in ('title', *_PIN.values())}
        spec = _format(plain, fields, used)
        seed = int(spec.get('seed', seed))
        needs, suffix = {}, {}
        caches = spec.get('caches', '')
        cached = [caches] if caches else []
        self._open.append(name)
        for need, key in _needs(spec).items():
            target = self.run(need, choice, seed)
            store = self.runs[target].caches
            if store:
                cached.append(store)
                key = key or f'model.teachers.{store}.store'
            needs[key or f'model.teachers.{need}.checkpoint'] = target
            # a run differs by whatever the runs that it needs differ by
            for axis, value in self.uses[target].items():
                if choice[axis] == value:
                    suffix[axis] = value
        self._open.pop()
        for axis, value in choice.items():
            words = set(fields[axis])
            active = any(self.axes[axis][value].get(key) for key in _CHOICE)
            if active or (used & words) - named:
                suffix[axis] = value
        uses = {**suffix, **{a: choice[a] for a in AXES if named & set(fields[a])}}
        parts = [suffix[a] for a in AXES if suffix.get(a) and _PIN[a] not in named]
        full = '-'.join([name, *parts, f'seed{seed}'])
        made = Run(
            name=full,
            config=spec['config'],
            seed=seed,
            needs=needs,
            options={
                **self._merged('options', choice, spec),
                **{f'model.teachers.{t}.type': 'mmvkd.CachedTeacher' for t in cached},
            },
            environment=self._environment(choice, spec),
            processes=int(spec.get('processes', 1)),
            threads=int(spec.get('threads', self.settings.get('threads', 1))),
            caches=caches,
        )
        if self.runs.setdefault(full, made) != made:
            raise StudyError(
                f"two runs would be named '{full}'; put the word that they differ by "
                f"into the name '{template}', as in '{template}_{{pair}}'"
            )
        self.uses[full] = uses
        if template in self.titles and not caches:
            self.shared[full] = self.titles[template] or name
        return full

    def _template(self, name: str, choice: Mapping[str, str]) -> str:
        known = {self.formatted(t, choice): t for t in self.templates}
        _known(f"'{name}', which is needed,", name, known)
        return known[name]

    def _pinned(
        self, name: str, spec: Mapping[str, Any], choice: Mapping[str, str]
    ) -> dict[str, str]:
        pinned = dict(choice)
        for axis, key in _PIN.items():
            if key in spec:
                _known(f"{key} '{spec[key]}' of '{name}'", spec[key], self.axes[axis])
                pinned[axis] = spec[key]
        return pinned

    def _merged(
        self, key: str, choice: Mapping[str, str], spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge a field, from the study's own to the most specific."""
        parts = [self.axes[axis][name] for axis, name in choice.items()]
        merged: dict[str, Any] = {}
        for part in (self.settings, *parts, spec):
            merged.update(_flat(part.get(key) or {}))
        return merged

    def _environment(
        self, choice: Mapping[str, str], spec: Mapping[str, Any]
    ) -> dict[str, str]:
        parts = [self.axes[axis][name] for axis, name in choice.items()]
        merged: dict[str, str] = {}
        for part in (self.settings, *parts, spec):
            if part.get('data'):
                merged['MMVKD_DATA'] = part['data']
            merged.update(
                {k: str(v) for k, v in (part.get('environment') or {}).items()}
            )
        return merged


def _needs(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """By needed run, the option that gets what it makes; '' for the usual one."""
    needs = spec.get('needs') or {}
    return needs if isinstance(needs, Mapping) else {name: '' for name in needs}


def _format(value: Any, fields: Mapping[str, Mapping[str, str]], used: set[str]) -> Any:
    """Fill ``{word}`` in all strings; ``used`` collects the words."""
    if isinstance(value, Mapping):
        return {
            _format(k, fields, used): _format(v, fields, used) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_format(item, fields, used) for item in value]
    if not isinstance(value, str) or '{' not in value:
        return value
    words = {k: v for part in fields.values() for k, v in part.items()}
    try:
        needed = {word for _, word, _, _ in string.Formatter().parse(value) if word}
        used |= needed
        # a string of one word alone gets that word's value, of its type
        alone = value[1:-1] in needed and value[0] == '{'
        return words[value[1:-1]] if alone else value.format_map(words)
    except (KeyError, ValueError, IndexError) as error:
        raise StudyError(
            f"'{value}' uses a word that is not there ({error}); there are: "
            f'{", ".join(sorted(words))}'
        ) from error


def _flat(options: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested options as dotted ones, which a command line can hold."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def _check(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key, value in given.items():
        _known(f'{where} has a field', key, known)
        kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
        if not isinstance(value, kinds) or isinstance(value, bool):
            expected = ' or '.join(kind.__name__ for kind in kinds)
            raise StudyError(f'{where}: {key}={value!r}, expected a {expected}')


def _known(what: str, name: str, known: Any) -> None:
    if name not in known:
        names = [str(key) for key in known]
        near = difflib.get_close_matches(name, names, cutoff=0.5) or names
        label = what if f"'{name}'" in what else f"{what} '{name}'"
        raise StudyError(f'{label} is not known; near: {", ".join(near)}')


def _classes(
    settings: Mapping[str, Any],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Names and reversal pairs of classes; those of Motions need not be given."""
    classes = list(settings.get('classes') or [])
    pairs = [(str(a), str(b)) for a, b in settings.get('reversals') or []]
    if not classes and settings.get('data', 'motions') == 'motions':
        from mmvkd.datasets import motions

        classes, pairs = list(motions.CLASSES), list(motions.REVERSAL_PAIRS)
    for name in (name for pair in pairs for name in pair):
        _known(f"class '{name}' of `reversals`", name, classes)
    return classes, pairs
