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
        labels: True class of each test clip.
        gains: By method: mean gain in each class's accuracy over the student alone,
            over common seeds.
        earlier: Scores of runs that have no row, such as pretext tasks.
    """

    setting: str
    rows: list[Row]
    notes: list[str]
    best: str
    labels: np.ndarray
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
    best = _compare(rows, labels)
    notes = _gap(rows)
    gains, earlier = _gains(rows, labels), _earlier(results, of_setting)
    return Table(setting, rows, notes, best, labels, gains, earlier)


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


def _compare(rows: Sequence[Row], labels: np.ndarray) -> str:
    """Test each method against the best baseline; return the name of that baseline."""
    baselines = [r for r in rows if r.kind in ('student', 'baseline') and r.scores]
    if not baselines:
        return ''
    best = max(baselines, key=lambda row: row.mean)
    p_values = {}
    for row in rows:
        common = sorted(set(row.scores) & set(best.scores))
        if row is best or row.kind == 'teacher' or not common:
            continue
        gaps = [row.scores[seed] - best.scores[seed] for seed in common]
        row.difference = fmean(gaps)
        row.wins = (sum(gap > 0 for gap in gaps), len(gaps))
        if all(s in row.predictions and s in best.predictions for s in common):
            right, other = (
                [of.predictions[seed] == labels for seed in common]
                for of in (row, best)
            )
            p_values[row.name] = sign_flip_p(clip_differences(right, other))
    adjusted = holm(p_values)
    for row in rows:
        if row.name in adjusted and row.kind != 'teacher':
            row.p = adjusted[row.name]
            spreads = [x for x in (row.spread, best.spread) if not math.isnan(x)]
            noise = max(spreads, default=math.inf)
            row.better = row.p < 0.05 and (row.difference or 0) > noise
    return best.name


def _gap(rows: Sequence[Row]) -> list[str]:
    """Compare teacher and student; fill in the shares where that makes sense."""
    student = next((row for row in rows if row.kind == 'student'), None)
    teachers = [row for row in rows if row.kind == 'teacher' and row.scores]
    if student is None or not student.scores or not teachers:
        return []
    teacher = max(teachers, key=lambda row: row.mean)
    gap = teacher.mean - student.mean
    told = (
        f'best teacher, {teacher.title}: {percent(teacher.mean)}, student alone: '
        f'{percent(student.mean)}'
    )
    if math.isnan(student.spread):
        note = (
            f'{told}: with one seed of the student alone it cannot be told whether the '
            f'gap of {100 * gap:.1f} points is more than chance, so no share of it is '
            'given.'
        )
        return [note] if gap > 0 else [_no_better(told, gap)]
    if gap <= 0:
        return [_no_better(told, gap)]
    if gap <= _SPREADS * student.spread:
        return [
            f'The teacher is not clearly better than the student ({told}): the gap of '
            f'{100 * gap:.1f} points does not exceed three spreads of the student '
            f'({_SPREADS} × {100 * student.spread:.1f}), so no share of it is given.'
        ]
    for row in rows:
        if row.kind != 'teacher' and row is not student and row.scores:
            common = set(row.scores) & set(student.scores)
            if common:
                alone = fmean(student.scores[s] for s in common)
                own = fmean(row.scores[s] for s in common)
                if teacher.mean > alone:
                    row.share = (own - alone) / (teacher.mean - alone)
    return []


def _no_better(told: str, gap: float) -> str:
    return (
        f'The teacher is not better than the student ({told}, {100 * gap:+.1f} '
        'points): there is no gap to close.'
    )


def _gains(rows: Sequence[Row], labels: np.ndarray) -> dict[str, np.ndarray]:
    student = next((row for row in rows if row.kind == 'student'), None)
    if student is None or not student.predictions:
        return {}
    classes = 1 + int(labels.max())
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


def class_groups(
    results: Mapping[str, Any], classes: int
) -> list[tuple[str, list[tuple[str, list[int]]]]]:
    """Groups of bars of the per-class picture: pairs first, then the other classes."""
    names = results['classes']
    if len(names) != classes:
        names = [f'class {i}' for i in range(classes)]
        return [('classes', [(name, [i]) for i, name in enumerate(names)])]
    of = partners(names, results['reversals'])
    pairs = [
        (' / '.join((a, b)), [names.index(a), names.index(b)])
        for a, b in results['reversals']
    ]
    rest = [(name, [i]) for i, name in enumerate(names) if i not in of]
    groups = [('reversal pairs', pairs), ('other classes', rest)]
    return [(title, members) for title, members in groups if members]


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
