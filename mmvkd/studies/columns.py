"""The columns of a report's table: their texts, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmvkd.studies.summary import Row, Table, duration, percent

COLUMNS = (
    'method',
    'accuracy',
    'to best baseline',
    'p',
    'gap closed',
    'mean class',
    'within pairs',
    'parameters',
    'GFLOPs',
    'CPU latency',
    'time',
)


def about(results: Mapping[str, Any], times: Mapping[str, Any]) -> list[str]:
    """How to read the table, and where its numbers come from."""
    states = [run['state'] for run in results['runs'].values()]
    versions = ', '.join(f'{k} {v}' for k, v in results['versions'].items())
    machines = sorted({run['machine'] for run in (times.get('runs') or {}).values()})
    told = [
        'Accuracy is top-1 on the test list, mean ± standard deviation over seeds. '
        'Each method is compared with the best baseline, and with the student for its '
        'share of the gap, over their common seeds; '
        'behind the difference stands in how many of these it is a gain. p is the '
        'exact sign-flip test over clips (McNemar’s, for one seed), after Holm; '
        '★ marks a gain with p < 0.05 that also exceeds the spread. “Within pairs” is '
        'how often the true class of a reversal pair scores above its partner (chance: '
        '50 %). Time is of training and testing one seed, without its teachers, of '
        'runs that nothing interrupted.',
        f'{states.count("finished")} of {len(states)} runs are finished. {versions}.',
    ]
    if machines:
        told.append(f'Machine: {"; ".join(machines)}.')
    return told


def used_columns(table: Table) -> list[str]:
    """Columns in which some row has something."""
    rows = [row_cells(row, table) for row in table.rows]
    return [column for column in COLUMNS if any(row[column] for row in rows)]


def marks(row: Row, table: Table) -> str:
    """What is told beside the title of a row, '' if nothing is."""
    kind = {'teacher': 'teacher', 'student': 'student alone'}.get(row.kind, row.title)
    found = [kind] if kind != row.title else []
    found += ['best baseline'] if row.name == table.best else []
    return ', '.join(found)


def row_cells(row: Row, table: Table) -> dict[str, str]:
    """The text of each column, '' where it does not apply."""
    cells = dict.fromkeys(COLUMNS, '')
    marked = marks(row, table)
    cells['method'] = row.title + (f' ({marked})' if marked else '')
    if not row.scores:
        cells['accuracy'] = 'open'
        return cells
    cells['accuracy'] = accuracy(row)
    if row.difference is not None and row.wins is not None:
        star = ' ★' if row.better else ''
        wins = f' ({row.wins[0]} of {row.wins[1]})' if row.wins[1] > 1 else ''
        points = f'{100 * row.difference:+.1f}'.replace('-', '−')
        cells['to best baseline'] = f'{points}{wins}{star}'
    if row.p is not None:
        cells['p'] = '< 0.001' if row.p < 0.001 else f'{row.p:.3f}'
    if row.share is not None:
        cells['gap closed'] = f'{100 * row.share:.0f} %'.replace('-', '−')
    if row.mean_class:
        cells['mean class'] = percent(sum(row.mean_class) / len(row.mean_class))
    if row.two_way:
        cells['within pairs'] = percent(sum(row.two_way) / len(row.two_way))
    if row.parameters is not None:
        cells['parameters'] = f'{row.parameters / 1e6:.2f} M'
    if row.gflops is not None:
        cells['GFLOPs'] = f'{row.gflops:.2f}'
    if row.latency is not None:
        cells['CPU latency'] = f'{row.latency:.1f} ms'
    if row.seconds is not None:
        cells['time'] = duration(row.seconds)
    return cells


def accuracy(row: Row) -> str:
    """Mean and spread over seeds, and how many seeds are open."""
    text = percent(row.mean)
    if len(row.scores) > 1:
        text = f'{100 * row.mean:.1f} ± {100 * row.spread:.1f} %'
    if row.open:
        text += f' ({len(row.open)} of {len(row.open) + len(row.scores)} seeds open)'
    return text
