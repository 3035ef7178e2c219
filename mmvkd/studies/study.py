"""What a study is: runs, and the cells of a table that they fill."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class StudyError(ValueError):
    """A study that cannot run as it is declared, or with its folder as it is."""


def require_known(what: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that is not among those that are known, and tell which are near.

    Args:
        what: What is named; the name itself is added where it is not in it.
        name: The name.
        known: All names that there are.

    Raises:
        StudyError: if it is none of them.
    """
    if name not in known:
        names = [str(key) for key in known]
        near = difflib.get_close_matches(name, names, cutoff=0.5) or names
        label = what if f"'{name}'" in what else f"{what} '{name}'"
        raise StudyError(f'{label} is not known; near: {", ".join(near)}')


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
            StudyError: if there is no such method.
        """
        for name in methods:
            require_known(f"method '{name}'", name, self.methods)
        ends = [c.run for c in self.cells if not methods or c.method in methods]
        return list(dict.fromkeys(run for end in ends for run in self.chain(end)))
