"""The report as one HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mmvkd.studies.columns import about, accuracy, marks, row_cells, used_columns
from mmvkd.studies.figures import pictures, row_colors
from mmvkd.studies.summary import Row, Table, percent
from mmvkd.visualization.pictures import svg

_CSS = """
:root{color-scheme:light dark;--ink:#1d2530;--soft:#5c6773;--paper:#fff;--card:#f4f6f8;
--line:#d5dae0;--note:#fff3d6;--note-line:#d89b00;--mark:#0f6fa3}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5b1;--paper:#14181d;
--card:#1d232a;--line:#38414b;--note:#33290f;--note-line:#c28f16;--mark:#5bb9ec}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.5rem 0}.soft{color:var(--soft);font-size:.875rem}
.note{background:var(--note);border-left:4px solid var(--note-line);
padding:.6rem .8rem;border-radius:4px}
table{border-collapse:collapse;width:100%;font-size:.875rem;
font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.4rem .5rem;text-align:right;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
td:first-child{font-weight:600}td small{display:block;font-weight:400;
color:var(--soft)}
.dot{display:inline-block;width:.65em;height:.65em;border-radius:50%;
margin-right:.45em}
.open td{color:var(--soft)}.open .accuracy{border:1px dashed var(--note-line);
background:var(--note);color:var(--ink)}
.best .accuracy{font-weight:700}
.figures{columns:22rem;column-gap:1rem;margin:1rem 0}
figure{margin:0 0 1rem;break-inside:avoid;padding:.75rem;
background:var(--card);border-radius:8px}
figure svg{display:block;width:100%;height:auto;max-width:36rem;margin:0 auto}
figcaption{color:var(--soft);font-size:.8125rem;margin-top:.5rem}
details{border-bottom:1px solid var(--line);padding:.4rem 0}
summary{cursor:pointer}summary b{font-weight:600}
pre{background:var(--card);border-radius:6px;padding:.6rem;margin:.5rem 0;
font-size:.75rem;line-height:1.45;white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:60rem){
thead{display:none}table,tbody,tr,td{display:block}
tr{background:var(--card);border-radius:8px;padding:.6rem .75rem;margin:.6rem 0;
display:grid;grid-template-columns:repeat(auto-fit,minmax(6.6rem,1fr));
gap:.35rem .75rem}
td{border:0;padding:0;text-align:left}
td:first-child{grid-column:1/-1;font-size:1rem}
td:empty{display:none}
td[data-label]::before{content:attr(data-label);display:block;color:var(--soft);
font-size:.75rem;line-height:1.3}
.open .accuracy{padding:.2rem .4rem;border-radius:4px}}
"""


def page(
    results: Mapping[str, Any], times: Mapping[str, Any], found: Sequence[Table]
) -> str:
    """The whole page."""
    body = [f'<h1>{escape(results["title"])}</h1>']
    for table in found:
        where = f'<b>{escape(table.setting)}:</b> ' if table.setting else ''
        body += [f'<p class="note">{where}{escape(note)}</p>' for note in table.notes]
    body += [f'<p>{escape(remark)}</p>' for remark in results['remarks']]
    for place, table in enumerate(found):
        if table.setting:
            body.append(f'<h2>{escape(table.setting)}</h2>')
        body += _section(table, results, str(place))
    body += [f'<p class="soft">{escape(line)}</p>' for line in about(results, times)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(results["title"])}</title><style>{_CSS}</style></head>\n'
        '<body>\n' + '\n'.join(body) + '\n</body></html>\n'
    )


def _section(table: Table, results: Mapping[str, Any], salt: str) -> list[str]:
    used = used_columns(table)
    colors = row_colors(table.rows)
    head = ''.join(f'<th scope="col">{escape(column)}</th>' for column in used)
    lines = [f'<table><thead><tr>{head}</tr></thead><tbody>']
    for row in table.rows:
        lines.append(_row(row, table, used, colors[row.name]))
    lines.append('</tbody></table>')
    lines += [
        f'<p class="soft">{escape(row.title)}, seed {seed}: {escape(reason)}</p>'
        for row in table.rows
        for seed, reason in row.open.items()
    ]
    if table.earlier:
        told = escape(', '.join(table.earlier))
        lines.append(f'<p class="soft">Runs before these: {told}.</p>')
    drawn = [
        f'<figure>{svg(draw, escape(caption, True), f"{name}{salt}")}'
        f'<figcaption>{escape(caption)}</figcaption></figure>'
        for name, (caption, draw) in pictures(table, results).items()
    ]
    if drawn:
        lines += ['<div class="figures">', *drawn, '</div>']
    lines.append('<h3>Commands that give each number again</h3>')
    for row in table.rows:
        lines += _commands(row)
    return lines


def _row(row: Row, table: Table, used: Sequence[str], color: str) -> str:
    cells = row_cells(row, table)
    kinds = [row.kind, *(['open'] if row.open else [])]
    kinds += ['best'] if row.name == table.best else []
    parts = []
    for column in used:
        text = escape(cells[column])
        if len(text) < 18:
            text = text.replace(' ', '\N{NO-BREAK SPACE}')  # a number and its unit
        if column == 'method':
            marked = escape(marks(row, table))
            text = f'<i class="dot" style="background:{color}"></i>{escape(row.title)}'
            text += f'<small>{marked}</small>' if marked else ''
            parts.append(f'<td>{text}</td>')
            continue
        kind = ' class="accuracy"' if column == 'accuracy' else ''
        label = f' data-label="{escape(column)}"' if text else ''
        parts.append(f'<td{kind}{label}>{text}</td>')
    return f'<tr class="{" ".join(kinds)}">{"".join(parts)}</tr>'


def _commands(row: Row) -> list[str]:
    lines = []
    told = escape(accuracy(row)) if row.scores else 'open'
    lines.append(f'<details><summary><b>{escape(row.title)}</b> {told}</summary>')
    for seed, commands in row.commands.items():
        score = row.scores.get(seed)
        number = row.open.get(seed, '') if score is None else percent(score)
        shown = escape('\n'.join(commands))
        lines.append(f'<p class="soft">seed {seed}: {escape(number)}</p>')
        lines.append(f'<pre>{shown}</pre>')
    return [*lines, '</details>']
