"""Tables in other texts, such as a README, that a command makes from results.

A comment, invisible in the rendered text, says what the table shows::

    <!-- table of results/graph_motions
    8 epochs = epochs8 accuracy; 24 epochs = epochs24 accuracy
    student
    kd = KD from labels
    *graph
    -->

    <!-- end of table -->

The folders, relative to that of the text, have the ``results.json`` of one study each.
The first line lists the columns: each is a column of the report, after the names of the
study and the setting where there are several; ``TITLE =`` before it gives it another
title. Every other line is a row: a method or a teacher of the studies; ``= TITLE``
after it gives it another title, and ``*`` before it makes it bold. Where studies use
different names for it, ``or`` separates them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmvkd.studies.columns import COLUMNS, row_cells
from mmvkd.studies.records import stored
from mmvkd.studies.summary import Row, Table, tables

_BLOCK = re.compile(
    r'(?P<head><!-- table of (?P<folders>[^\n]+)\n(?P<says>(?:(?!-->).)*)-->\n)'
    r'(?:(?!<!-- table of ).)*?(?P<end><!-- end of table -->)',
    re.DOTALL,
)


def filled(text: str, folder: Path) -> str:
    """The text with each of its tables made anew.

    Args:
        text: Markdown.
        folder: The folder of the text.

    Raises:
        FileNotFoundError: if results that it names do not exist.
        ValueError: if a comment names what the results do not have.
    """

    def table(block: re.Match[str]) -> str:
        folders = [folder / name for name in block['folders'].split()]
        lines = _lines(folders, block['says'].strip().splitlines())
        return '\n'.join([block['head'], *lines, '', block['end']])

    made, blocks = _BLOCK.subn(table, text)
    if blocks != text.count('<!-- table of '):
        raise ValueError('a table lacks its <!-- end of table -->')
    return made


def _lines(folders: Sequence[Path], says: Sequence[str]) -> list[str]:
    found: dict[str, Table] = {}
    for folder in folders:
        study = f'{folder.name} ' if len(folders) > 1 else ''
        for table in tables(*stored(folder)):
            setting = f'{table.setting} ' if table.setting else ''
            found[study + setting] = table
    columns = [_column(word, found) for word in says[0].split('; ')]
    lines = [
        '| | ' + ' | '.join(title for title, _, _ in columns) + ' |',
        '|---|' + '---:|' * len(columns),
    ]
    for word in says[1:]:
        names, title, mark = _row(word, list(found.values()))
        texts = [title, *(_cell(names, table, column) for _, table, column in columns)]
        marked = (f'{mark}{text}{mark}' if text else '' for text in texts)
        lines.append('| ' + ' | '.join(marked) + ' |')
    return lines


def _column(word: str, found: Mapping[str, Table]) -> tuple[str, Table, str]:
    """The title, the table, and the column of the report."""
    title, _, source = word.rpartition(' = ')
    for where, table in found.items():
        column = source.removeprefix(where)
        if source.startswith(where) and column in COLUMNS:
            return title or column, table, column
    places = ', '.join(filter(None, map(str.strip, found)))
    raise ValueError(
        f"no column '{source}': name one of {', '.join(COLUMNS)}"
        + (f', after one of {places}' if places else '')
    )


def _row(word: str, found: Sequence[Table]) -> tuple[list[str], str, str]:
    """The names, the title, and the mark that makes the row bold, if any."""
    name, _, title = word.partition(' = ')
    bare = name.removeprefix('*')
    names = bare.split(' or ')
    rows = {row.name: row for table in found for row in table.rows}
    for each in names:
        if each not in rows:
            raise ValueError(f"no row '{each}': there are {', '.join(rows)}")
    return names, title or rows[names[0]].title, '**' if name != bare else ''


def _cell(names: Sequence[str], table: Table, column: str) -> str:
    row = next((row for row in table.rows if row.name in names), None)
    if row is None:
        return ''
    text = row_cells(row, table)[column]
    return f'{text} (one seed)' if column == 'accuracy' and _alone(row, table) else text


def _alone(row: Row, table: Table) -> bool:
    """Whether it has one seed where others have more, and none is open."""
    seeds = [len(other.scores) for other in table.rows if other.kind != 'teacher']
    known = row.kind != 'teacher' and not row.open
    return known and len(row.scores) == 1 and max(seeds) > 1
