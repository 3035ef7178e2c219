"""Tables in texts, made of results."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import results
from small_project import tool

from mmvkd.files import write_json
from mmvkd.studies.excerpts import filled

ROOT = Path(__file__).parents[2]
MARKED = """Before.

<!-- table of made_up
accuracy; of the gap = gap closed
tsm_r50-seed0 = the teacher
student
*graph = graphs
zscore_kd
-->
old
<!-- end of table -->

After.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'made_up').mkdir()
    write_json(tmp_path / 'made_up' / 'results.json', results())
    return tmp_path


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith('|')]


def test_a_table_is_made_of_the_rows_and_columns_that_its_comment_names(
    folder: Path,
) -> None:
    text = filled(MARKED, folder)
    assert text.startswith('Before.\n') and text.endswith('\n\nAfter.\n')
    head, line, teacher, student, graph, zscore = body(text)
    assert head == '| | accuracy | of the gap |'
    assert line == '|---|---:|---:|'
    # 280 clips, so the levels of `results` are met to the nearest clip
    assert teacher == '| the teacher | 85.0 % |  |'
    assert student.startswith('| student alone | 62.') and ' ± 0.' in student
    assert graph.startswith('| **graphs** | **78.') and graph.endswith(' %** |')
    assert '(1 of 3 seeds open)' in zscore
    assert 'old' not in text
    assert filled(text, folder) == text


def test_columns_may_be_of_several_studies(folder: Path) -> None:
    (folder / 'other').mkdir()
    write_json(folder / 'other' / 'results.json', results(graph=0.5))
    text = MARKED.replace('of made_up', 'of made_up other').replace(
        'accuracy; of the gap = gap closed',
        'one = made_up accuracy; two = other accuracy',
    )
    graph = body(filled(text, folder))[4].split('|')
    assert graph[2].startswith(' **78.') and graph[3].startswith(' **50.')


def test_a_row_may_have_another_name_in_each_study(folder: Path) -> None:
    (folder / 'other').mkdir()
    found = results()
    found['methods']['graphs'] = found['methods'].pop('graph')
    for cell in found['cells']:
        if cell['method'] == 'graph':
            cell['method'] = 'graphs'
    write_json(folder / 'other' / 'results.json', found)
    text = MARKED.replace('of made_up', 'of made_up other').replace(
        'accuracy; of the gap = gap closed',
        'one = made_up accuracy; two = other accuracy',
    )
    row = {}
    for name in ('*graph', '*graph or graphs'):
        row[name] = body(filled(text.replace('*graph', name), folder))[4].split('|')
    assert row['*graph'][2] and not row['*graph'][3].strip()
    assert row['*graph or graphs'][2] == row['*graph or graphs'][3]


def test_one_seed_beside_several_is_said(folder: Path) -> None:
    found = results()
    found['cells'] = [
        cell
        for cell in found['cells']
        if cell['method'] != 'graph' or cell['seed'] == 0
    ]
    write_json(folder / 'made_up' / 'results.json', found)
    _, _, teacher, student, graph, _ = body(filled(MARKED, folder))
    assert '(one seed)' in graph
    assert '(one seed)' not in teacher + student


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('gap closed', 'gap', "no column 'gap': name one of method, accuracy"),
        ('zscore_kd', 'zkd', "no row 'zkd': there are tsm_r50-seed0, student, kd"),
    ],
)
def test_what_results_do_not_have_is_told(
    folder: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        filled(MARKED.replace(old, new), folder)


def test_of_several_studies_the_column_names_one(folder: Path) -> None:
    (folder / 'other').mkdir()
    write_json(folder / 'other' / 'results.json', results())
    with pytest.raises(ValueError, match=r"accuracy': .* one of made_up, other$"):
        filled(MARKED.replace('of made_up', 'of made_up other'), folder)


def test_a_table_without_its_end_is_told(folder: Path) -> None:
    endless = MARKED.replace('<!-- end of table -->', '')
    for text in (endless, endless + MARKED):
        with pytest.raises(ValueError, match='lacks its <!-- end of table -->'):
            filled(text, folder)


def test_the_command_without_a_text_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as error:
        tool('study')(['tables'])
    assert error.value.code == 2
    assert 'tables: error: the following arguments are req' in capsys.readouterr().err


def test_missing_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='made_up'):
        filled(MARKED, tmp_path)


def test_the_tables_of_the_project_are_those_of_its_results() -> None:
    made = 0
    for file in (ROOT / 'README.md', *ROOT.glob('configs/**/README.md')):
        text = file.read_text(encoding='utf-8')
        assert filled(text, file.parent) == text, file
        made += text.count('<!-- table of ')
    assert made > 0
