"""A study's report, made from stored results alone: Markdown, PNG and an HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mmvkd.files import write_text
from mmvkd.studies.columns import about, row_cells, used_columns
from mmvkd.studies.figures import pictures
from mmvkd.studies.page import page
from mmvkd.studies.records import stored
from mmvkd.studies.summary import Table, percent, tables
from mmvkd.visualization.pictures import write_png


def write_report(source: Path, folder: Optional[Path] = None) -> list[Path]:
    """Write ``report.md``, ``report.html`` and pictures.

    Args:
        source: A results file, or the folder that has it; ``times.json`` beside it is
            read if it is there.
        folder: For the report; default: beside the results.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if there are no results.
    """
    results, times = stored(source)
    folder = folder or (source if source.is_dir() else source.parent)
    found = tables(results, times)
    written = []
    images: dict[str, list[tuple[str, str]]] = {}
    for place, table in enumerate(found):
        images[table.setting] = []
        for name, (caption, draw) in pictures(table, results).items():
            suffix = f'_{place + 1}' if len(found) > 1 else ''
            image = folder / f'{name}{suffix}.png'
            write_png(image, draw)
            images[table.setting].append((image.name, caption))
            written.append(image)
    report = folder / 'report.md'
    write_text(report, markdown(results, times, found, images))
    write_text(folder / 'report.html', page(results, times, found))
    return [report, folder / 'report.html', *written]


def markdown(
    results: Mapping[str, Any],
    times: Mapping[str, Any],
    found: list[Table],
    images: Mapping[str, list[tuple[str, str]]],
) -> str:
    """The report as Markdown."""
    lines = [f'# {results["title"]}', '']
    for table in found:
        where = f'{table.setting}: ' if table.setting else ''
        lines += [f'> **{where}{note}**\n' for note in table.notes]
    lines += [f'{remark}\n' for remark in results['remarks']]
    lines += [f'{sentence}\n' for sentence in about(results, times)]
    for table in found:
        if table.setting:
            lines += [f'## {table.setting}', '']
        lines += _table(table)
        for image, caption in images[table.setting]:
            lines += ['', f'![{caption}]({image})', '', caption]
        lines += ['', '### Commands', '']
        for row in table.rows:
            for seed, commands in row.commands.items():
                score = row.scores.get(seed)
                told = 'open' if score is None else percent(score)
                lines += [f'{row.title}, seed {seed} ({told}):', '```bash']
                lines += [*commands, '```', '']
    return '\n'.join(lines).rstrip() + '\n'


def _table(table: Table) -> list[str]:
    used = used_columns(table)
    lines = [
        '| ' + ' | '.join(used) + ' |',
        '|' + '|'.join(['---', *['---:'] * (len(used) - 1)]) + '|',
    ]
    for row in table.rows:
        cells = row_cells(row, table)
        lines.append('| ' + ' | '.join(cells[column] for column in used) + ' |')
    opened = [
        f'* {row.title}, seed {seed}: {reason}'
        for row in table.rows
        for seed, reason in row.open.items()
    ]
    if opened:
        lines += ['', 'Open cells:', *opened]
    if table.earlier:
        lines += ['', f'Runs before these: {", ".join(table.earlier)}.']
    return lines
