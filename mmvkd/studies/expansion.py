"""From the templates of a study to its runs, each made once for all that need it."""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Mapping
from typing import Any

from mmvkd.studies.study import Run, StudyError, require_known

AXES = ('datasets', 'pairs', 'labels', 'schedules')
# what a choice from an axis may set; its other fields are words for templates
CHOICE = {'options': dict, 'environment': dict, 'data': str}
_PIN = dict(zip(AXES, ('dataset', 'pair', 'labels', 'schedule')))


class Expansion:
    """Makes runs from templates, each once.

    Args:
        settings: The declaration of the study, checked.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        shared = settings.get('runs') or {}
        self.settings = settings
        self.templates = {**shared, **settings['methods']}
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
            words = {k: v for k, v in self.axes[axis][name].items() if k not in CHOICE}
            found[axis] = {**words, _PIN[axis]: name}
        return found

    def formatted(self, template: str, choice: Mapping[str, str]) -> str:
        """The name of a template, with the words of a choice."""
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
        self._open.append(name)
        needs, stores, depends = self._needed(spec, choice, seed)
        self._open.pop()
        depends.update(self._changing(choice, used - named))
        full = _name(name, depends, named, seed)
        caches = spec.get('caches', '')
        cached = [caches, *stores] if caches else stores
        made = Run(
            name=full,
            config=spec['config'],
            seed=seed,
            needs=needs,
            options={
                **self._options(choice, spec),
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
        in_name = {axis: choice[axis] for axis in AXES if named & set(fields[axis])}
        self.uses[full] = {**depends, **in_name}
        if template in self.titles and not caches:
            self.shared[full] = self.titles[template] or name
        return full

    def _template(self, name: str, choice: Mapping[str, str]) -> str:
        known = {self.formatted(t, choice): t for t in self.templates}
        require_known(f"'{name}', which is needed,", name, known)
        return known[name]

    def _pinned(
        self, name: str, spec: Mapping[str, Any], choice: Mapping[str, str]
    ) -> dict[str, str]:
        pinned = dict(choice)
        for axis, key in _PIN.items():
            if key in spec:
                require_known(
                    f"{key} '{spec[key]}' of '{name}'", spec[key], self.axes[axis]
                )
                pinned[axis] = spec[key]
        return pinned

    def _needed(
        self, spec: Mapping[str, Any], choice: Mapping[str, str], seed: int
    ) -> tuple[dict[str, str], list[str], dict[str, str]]:
        """Make the runs that a run needs.

        Returns:
            Their names by the option that gets what they make, the teachers whose
            outputs they store, and the choices that they depend on.
        """
        needs: dict[str, str] = {}
        stores: list[str] = []
        depends: dict[str, str] = {}
        for need, key in _needs(spec).items():
            target = self.run(need, choice, seed)
            store = self.runs[target].caches
            if store:
                stores.append(store)
                key = key or f'model.teachers.{store}.store'
            needs[key or f'model.teachers.{need}.checkpoint'] = target
            # a run differs by whatever the runs that it needs differ by
            for axis, value in self.uses[target].items():
                if choice[axis] == value:
                    depends[axis] = value
        return needs, stores, depends

    def _changing(
        self, choice: Mapping[str, str], words: Collection[str]
    ) -> dict[str, str]:
        """The choices that change a run: by fields of theirs, or by words it uses."""
        return {
            axis: name
            for axis, name in choice.items()
            if any(self.axes[axis][name].get(key) for key in CHOICE)
            or any(word in words for word in self.fields(choice)[axis])
        }

    def _layers(
        self, choice: Mapping[str, str], spec: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        """All that may set a field, from the study's own to the most specific."""
        chosen = [self.axes[axis][name] for axis, name in choice.items()]
        return [self.settings, *chosen, spec]

    def _options(
        self, choice: Mapping[str, str], spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for layer in self._layers(choice, spec):
            merged.update(_flat(layer.get('options') or {}))
        return merged

    def _environment(
        self, choice: Mapping[str, str], spec: Mapping[str, Any]
    ) -> dict[str, str]:
        merged: dict[str, str] = {}
        for layer in self._layers(choice, spec):
            if layer.get('data'):
                merged['MMVKD_DATA'] = layer['data']
            own = layer.get('environment') or {}
            merged.update({k: str(v) for k, v in own.items()})
        return merged


def _name(
    name: str, depends: Mapping[str, str], named: Collection[str], seed: int
) -> str:
    """A run's name, with the choices that it depends on and does not have in it."""
    parts = [depends[a] for a in AXES if depends.get(a) and _PIN[a] not in named]
    return '-'.join([name, *parts, f'seed{seed}'])


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
