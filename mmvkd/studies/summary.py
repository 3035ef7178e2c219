"""The rows and notes that every form of the report shows, made from results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple, Optional

import numpy as np

from mmvkd.studies.outcome import partners
from mmvkd.studies.statistics import clip_differences, holm, sign_flip_p, spread

TOP1 = 'acc/top1'
MEAN_CLASS = 'acc/mean1'
_SPREADS = 3  # that the gap must exceed


class Point(NamedTuple):
    """A validation in training: after which epoch and step, and its accuracy.

    Earlier results do not tell the step.
    """

    epoch: int
    step: Optional[int]
    score: float


@dataclass
class Row:
    """A line of the table: a teacher or a method, in one setting.

    Args:
        name: Name in the study.
        title: Title in the report.
        kind: ``teacher``, ``student``, ``baseline`` or ``method``.
        scores: Test accuracy by seed, of finished runs.
        open: Seeds without a number, with the reason.
        mean_class: Mean-class accuracies.
        two_way: Accuracies between the partners of reversal pairs.
        parameters: Parameters of the model that is tested.
        gflops: GFLOPs of one view.
        latency: Milliseconds of one view on the CPU.
        seconds: Time of one seed's training and test, without its teachers'.
        share: Share of the teacher-student gap that is closed, where it can be told.
        difference: Difference to the best baseline, over common seeds.
        p: The p-value of that difference, after Holm.
        wins: Number of common seeds in which it is positive, and of all common ones.
        better: Whether the difference passes the test and exceeds the spread.
        commands: Commands that give the numbers again, by seed.
        curves: Validation accuracies of a run, by seed.
        predictions: By seed: predicted labels.
    """

    name: str
    title: str
    kind: str
    scores: dict[int, float] = field(default_factory=dict)
    open: dict[int, str] = field(default_factory=dict)
    mean_class: list[float] = field(default_factory=list)
    two_way: list[float] = field(default_factory=list)
    parameters: Optional[int] = None
    gflops: Optional[float] = None
    latency: Optional[float] = None
    seconds: Optional[float] = None
    share: Optional[float] = None
    difference: Optional[float] = None
    p: Optional[float] = None
    wins: Optional[tuple[int, int]] = None
    better: bool = False
    commands: dict[int, list[str]] = field(default_factory=dict)
    curves: dict[int, list[Point]] = field(default_factory=dict)
    predictions: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN if there are none."""
        return fmean(self.scores.values()) if self.scores else math.nan

    @property
    def spread(self) -> float:
        """Spread over seeds; NaN for fewer than two."""
        return spread(list(self.scores.values()))


@dataclass
class Table:
    """The rows of one setting.

    Args:
        setting: Its name, '' where there is only one.
        rows: Teachers first.
        notes: What must be said before the table.
        best: Name of the best baseline, '' without one.
        gains: By method: mean gain in each class's accuracy over the student alone,
            over common seeds.
        earlier: Scores of runs that have no row, such as pretext tasks.
    """

    setting: str
    rows: list[Row]
    notes: list[str]
    best: str
    gains: dict[str, np.ndarray]
    earlier: list[str]


def tables(results: Mapping[str, Any], times: Mapping[str, Any]) -> list[Table]:
    """All settings of a study, in its order."""
    return [_table(results, times, setting) for setting in results['settings']]


def _table(results: Mapping[str, Any], times: Mapping[str, Any], setting: str) -> Table:
    teachers: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, title in results['teachers'].get(setting, {}).items():
        # a teacher that follows the students' seeds has a run for each
        same = re.sub(r'-seed\d+', '', name), title
        chain = results.get('teacher_chains', {}).get(name, [name])
        teachers.setdefault(same, {})[name] = chain
    rows = [
        _row(results, times, next(iter(runs)), title, 'teacher', runs)
        for (_, title), runs in teachers.items()
    ]
    for method, title in results['methods'].items():
        cells = [
            cell
            for cell in results['cells']
            if cell['method'] == method and cell['setting'] == setting
        ]
        if not cells:
            continue
        kind = 'baseline' if method in results['baselines'] else 'method'
        kind = 'student' if method == results['student'] else kind
        chains = {cell['run']: cell['chain'] for cell in cells}
        rows.append(_row(results, times, method, title, kind, chains))
    of_setting = [cell for cell in results['cells'] if cell['setting'] == setting]
    names = [results['runs'][cell['run']].get('test_list') for cell in of_setting]
    lists = [name for name in names if name]
    text = results['test_lists'][lists[0]] if lists else ''
    labels = np.array(text.split(), dtype=int)
    if len(set(lists)) > 1:
        # rows are compared clip by clip
        raise ValueError(
            f"study '{results['name']}', setting '{setting}': its runs are tested on "
            f'{len(set(lists))} lists; give each a setting of its own'
        )
    # the last ones may have no test clip
    told = [results['runs'][cell['run']].get('classes', 0) for cell in of_setting]
    best = _best_baseline(rows)
    if best is not None:
        _fill_differences(rows, best)
        _fill_tests(rows, best, labels)
    gap = _gap(rows)
    doubt = gap and _doubt(gap)
    if gap and not doubt:
        _fill_shares(rows, gap)
    return Table(
        setting,
        rows,
        notes=[doubt] if doubt else [],
        best=best.name if best else '',
        gains=_gains(rows, labels, max(told, default=0)),
        earlier=_earlier(results, of_setting),
    )


def _row(
    results: Mapping[str, Any],
    times: Mapping[str, Any],
    name: str,
    title: str,
    kind: str,
    chains: Mapping[str, Sequence[str]],
) -> Row:
    row = Row(name, title, kind)
    spent = []
    for run, chain in chains.items():
        result = results['runs'][run]
        seed = result['seed']
        lines = [results['runs'][need]['commands']['train'] for need in chain]
        if 'test' in result['commands']:
            lines.append(result['commands']['test'])
        row.commands[seed] = lines
        if result['state'] != 'finished':
            row.open[seed] = _why_open(results, chain)
            continue
        if TOP1 not in result['metrics']:
            row.open[seed] = f'its test gives no {TOP1}'
            continue
        row.scores[seed] = result['metrics'][TOP1]
        if MEAN_CLASS in result['metrics']:
            row.mean_class.append(result['metrics'][MEAN_CLASS])
        decided = [mark for mark in result.get('two_way', '') if mark != '-']
        if decided:
            row.two_way.append(decided.count('1') / len(decided))
        model = result['model']
        row.parameters, row.gflops = model.get('parameters'), model.get('gflops')
        row.latency = (times.get('latency_ms') or {}).get(model.get('key'))
        row.curves[seed] = [
            Point(point['epoch'], point.get('iter'), point[TOP1])
            for point in result['curve']
            if TOP1 in point
        ]
        if 'predictions' in result:
            row.predictions[seed] = np.array(result['predictions'].split(), dtype=int)
        time = (times.get('runs') or {}).get(run, {})
        # what a killed part took is not known
        if 'seconds' in time and not time.get('interrupted'):
            spent.append(time['seconds'])
    if spent:
        row.seconds = fmean(spent)
    return row


def _earlier(
    results: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Scores of the finished runs that cells need but no row shows."""
    rows = {name for each in results['teachers'].values() for name in each}
    rows |= {cell['run'] for cell in results['cells']}
    told = []
    for name in dict.fromkeys(name for cell in cells for name in cell['chain']):
        run = results['runs'][name]
        if name not in rows and TOP1 in run.get('metrics', ()):
            classes = f' of {run["classes"]} classes' if 'classes' in run else ''
            told.append(f'{name}: {percent(run["metrics"][TOP1])}{classes}')
    return told


def _why_open(results: Mapping[str, Any], chain: Sequence[str]) -> str:
    for name in chain:
        run = results['runs'][name]
        if run['state'] == 'failed':
            where = '' if name == chain[-1] else f'{name}, which it needs: '
            return f'failed: {where}{run["reason"]} (log: {run["log"]})'
    return 'not run yet'


def _best_baseline(rows: Sequence[Row]) -> Optional[Row]:
    """The row that each method is compared with."""
    baselines = [r for r in rows if r.kind in ('student', 'baseline') and r.scores]
    return max(baselines, key=lambda row: row.mean, default=None)


def _compared(rows: Sequence[Row], best: Row) -> list[tuple[Row, list[int]]]:
    """The rows to compare with the best baseline, and the seeds that both have."""
    found = []
    for row in rows:
        common = sorted(set(row.scores) & set(best.scores))
        if common and row is not best and row.kind != 'teacher':
            found.append((row, common))
    return found


def _fill_differences(rows: Sequence[Row], best: Row) -> None:
    """Set the difference of each row to the best baseline, and its wins."""
    for row, common in _compared(rows, best):
        gaps = [row.scores[seed] - best.scores[seed] for seed in common]
        row.difference = fmean(gaps)
        row.wins = (sum(gap > 0 for gap in gaps), len(gaps))


def _fill_tests(rows: Sequence[Row], best: Row, labels: np.ndarray) -> None:
    """Set the p-value of each difference, and whether it counts."""
    p_values, tested = {}, {}
    for row, common in _compared(rows, best):
        if all(s in row.predictions and s in best.predictions for s in common):
            right, other = (
                [of.predictions[seed] == labels for seed in common]
                for of in (row, best)
            )
            p_values[row.name] = sign_flip_p(clip_differences(right, other))
            tested[row.name] = row
    for name, p in holm(p_values).items():
        row = tested[name]
        spreads = [x for x in (row.spread, best.spread) if not math.isnan(x)]
        noise = max(spreads, default=math.inf)
        row.p = p
        row.better = p < 0.05 and (row.difference or 0) > noise


class _Gap(NamedTuple):
    """The best teacher and the student alone, both with scores."""

    teacher: Row
    student: Row

    @property
    def size(self) -> float:
        """By how much the teacher is better."""
        return self.teacher.mean - self.student.mean


def _gap(rows: Sequence[Row]) -> Optional[_Gap]:
    """The gap to close, None where the teacher or the student has no score."""
    student = next((row for row in rows if row.kind == 'student'), None)
    teachers = [row for row in rows if row.kind == 'teacher' and row.scores]
    if student is None or not student.scores or not teachers:
        return None
    return _Gap(max(teachers, key=lambda row: row.mean), student)


def _doubt(gap: _Gap) -> str:
    """Why no share of the gap is given; '' if it is clear enough."""
    points, spread = 100 * gap.size, 100 * gap.student.spread
    told = (
        f'best teacher, {gap.teacher.title}: {percent(gap.teacher.mean)}, student '
        f'alone: {percent(gap.student.mean)}'
    )
    if gap.size <= 0:
        return (
            f'The teacher is not better than the student ({told}, {points:+.1f} '
            'points): there is no gap to close.'
        )
    if math.isnan(spread):
        return (
            f'{told}: with one seed of the student alone it cannot be told whether the '
            f'gap of {points:.1f} points is more than chance, so no share of it is '
            'given.'
        )
    if gap.size <= _SPREADS * gap.student.spread:
        return (
            f'The teacher is not clearly better than the student ({told}): the gap of '
            f'{points:.1f} points does not exceed three spreads of the student '
            f'({_SPREADS} × {spread:.1f}), so no share of it is given.'
        )
    return ''


def _fill_shares(rows: Sequence[Row], gap: _Gap) -> None:
    """Set the share of the gap that each row closes, over seeds in common."""
    student, teacher = gap.student, gap.teacher
    for row in rows:
        common = set(row.scores) & set(student.scores)
        if row.kind == 'teacher' or row is student or not common:
            continue
        alone = fmean(student.scores[s] for s in common)
        own = fmean(row.scores[s] for s in common)
        if teacher.mean > alone:
            row.share = (own - alone) / (teacher.mean - alone)


def _gains(
    rows: Sequence[Row], labels: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    student = next((row for row in rows if row.kind == 'student'), None)
    if student is None or not student.predictions:
        return {}
    # results of earlier versions may not tell them
    classes = max(classes, 1 + int(labels.max()))
    gains = {}
    for row in rows:
        common = sorted(set(row.predictions) & set(student.predictions))
        if row is not student and row.kind != 'teacher' and common:
            after, before = (
                _per_class([of.predictions[seed] for seed in common], labels, classes)
                for of in (row, student)
            )
            gains[row.name] = after - before
    return gains


def _per_class(
    guesses: Sequence[np.ndarray], labels: np.ndarray, classes: int
) -> np.ndarray:
    """Accuracy of each class (NaN where it has no clip), over seeds."""
    right = np.mean([guess == labels for guess in guesses], axis=0)
    count = np.bincount(labels, minlength=classes)
    total = np.bincount(labels, weights=right, minlength=classes)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class ClassGroup(NamedTuple):
    """Classes that the per-class picture shows together.

    Args:
        title: Of the group.
        units: What lines separate: pairs of classes, or classes one by one. A class is
            its name and label.
    """

    title: str
    units: list[list[tuple[str, int]]]


def class_groups(results: Mapping[str, Any], classes: int) -> list[ClassGroup]:
    """Groups of the per-class picture: reversal pairs first, then the other classes."""
    names = results['classes']
    if len(names) != classes:
        return [ClassGroup('classes', [[(f'class {i}', i)] for i in range(classes)])]
    of = partners(names, results['reversals'])
    pairs = [
        [(name, names.index(name)) for name in pair] for pair in results['reversals']
    ]
    rest = [[(name, i)] for i, name in enumerate(names) if i not in of]
    of_rest = 'other classes' if pairs else 'classes'
    groups = [ClassGroup('reversal pairs', pairs), ClassGroup(of_rest, rest)]
    return [group for group in groups if group.units]


def percent(value: float) -> str:
    """A share in percent, without sign."""
    return f'{100 * value:.1f} %'


def duration(seconds: float) -> str:
    """A time in a suitable unit."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    if seconds < 6000:
        return f'{seconds / 60:.1f} min'
    return f'{seconds / 3600:.1f} h'
