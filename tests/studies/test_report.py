"""The report, from results alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import results, run, times
from matplotlib.figure import Figure

from mmvkd.files import write_json
from mmvkd.studies import figures, report
from mmvkd.studies.figures import pictures
from mmvkd.studies.report import write_report
from mmvkd.studies.summary import Row, Table, tables
from mmvkd.visualization.pictures import COLORS, png

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / 'configs' / 'studies' / 'results'
PUBLISHED = sorted(folder for folder in _RESULTS.iterdir() if folder.is_dir())


def table(found: dict[str, Any]) -> tuple[Table, dict[str, Row]]:
    (one,) = tables(found, times(found))
    return one, {row.name: row for row in one.rows}


def test_methods_are_compared_with_the_best_baseline_over_common_seeds() -> None:
    one, rows = table(results())
    assert one.best == 'dist'
    graph, fitnets = rows['graph'], rows['fitnets']
    assert graph.difference == pytest.approx(graph.mean - rows['dist'].mean)
    assert graph.wins == (3, 3)
    assert fitnets.wins == (0, 2)
    assert graph.better and not fitnets.better
    assert rows['dist'].p is None


def test_a_method_that_is_no_baseline_is_not_what_others_are_compared_with() -> None:
    found = results()
    found['baselines'] = ['student']
    assert table(found)[0].best == 'student'


def test_the_share_of_the_gap_is_told_where_it_exceeds_three_spreads() -> None:
    one, rows = table(results())
    gap = rows['tsm_r50-seed0'].mean - rows['student'].mean
    expected = (rows['graph'].mean - rows['student'].mean) / gap
    assert rows['graph'].share == pytest.approx(expected)
    assert one.notes == []


def test_the_share_of_the_gap_is_over_common_seeds() -> None:
    found = results()
    for name in ('graph-seed1', 'graph-seed2'):
        found['runs'][name]['state'] = 'open'
    _, rows = table(found)
    graph, student = rows['graph'], rows['student']
    assert list(graph.scores) == [0]
    gap = rows['tsm_r50-seed0'].mean - student.scores[0]
    expected = (graph.scores[0] - student.scores[0]) / gap
    assert graph.share == pytest.approx(expected)
    assert student.scores[0] != pytest.approx(student.mean)


@pytest.mark.parametrize(
    ('teacher', 'seeds', 'message'),
    [
        (0.632, 3, 'not clearly better than the student'),
        (0.6, 3, 'not better than the student'),
        (0.85, 1, 'with one seed of the student alone'),
    ],
)
def test_a_teacher_that_is_not_clearly_better_is_told_first(
    tmp_path: Path, teacher: float, seeds: int, message: str
) -> None:
    found = results(teacher, seeds)
    one, rows = table(found)
    assert all(row.share is None for row in rows.values())
    assert len(one.notes) == 1 and message in one.notes[0]
    write_json(tmp_path / 'results.json', found)
    write_report(tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert text.split('\n\n')[1].startswith('> **') and message in text.split('\n\n')[1]


def test_open_cells_are_visibly_open(tmp_path: Path) -> None:
    found = results()
    write_json(tmp_path / 'results.json', found)
    write_report(tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert '(1 of 3 seeds open)' in text
    assert '* zscore kd, seed 2: failed: error: no space left' in text
    assert '* fitnets, seed 2: not run yet' in text


def test_a_method_without_cells_in_a_setting_has_no_row_there() -> None:
    found = results()
    found['cells'] = [c for c in found['cells'] if c['method'] != 'graph']
    _, rows = table(found)
    assert 'kd' in rows
    assert 'graph' not in rows


def test_a_cell_open_for_its_teacher_says_so() -> None:
    found = results()
    teacher = found['runs']['tsm_r50-seed0']
    found['runs']['tsm_r50-seed0'] = dict(
        state='failed',
        reason='error: corrupt',
        log='x.log',
        seed=0,
        commands=teacher['commands'],
    )
    found['runs']['kd-seed0'] = dict(
        state='open', seed=0, commands=dict(train='python …')
    )
    reason = table(found)[1]['kd'].open[0]
    assert reason == (
        'failed: tsm_r50-seed0, which it needs: error: corrupt (log: x.log)'
    )


def test_runs_behind_the_table_that_are_in_no_row_are_told(tmp_path: Path) -> None:
    found = results()
    lines = dict(commands=dict(train='python …'))
    done = dict(lines, state='finished', metrics={'acc/top1': 0.913}, classes=12)
    found['runs']['sorting-seed0'] = done
    found['runs']['pace-seed0'] = dict(lines, state='open')
    for cell in found['cells']:
        cell['chain'] = ['sorting-seed0', 'pace-seed0', *cell['chain']]
    write_json(tmp_path / 'results.json', found)
    write_report(tmp_path)
    line = 'Runs before these: sorting-seed0: 91.3 % of 12 classes.'
    assert line in (tmp_path / 'report.md').read_text().splitlines()
    assert f'<p class="soft">{line}</p>' in (tmp_path / 'report.html').read_text()


def test_gains_are_by_class_and_their_mean_is_the_gain() -> None:
    one, rows = table(results())
    # all classes have as many clips
    gain = rows['graph'].mean - rows['student'].mean
    assert one.gains['graph'].mean() == pytest.approx(gain)
    assert 'student' not in one.gains


def test_a_last_class_without_test_clips_leaves_the_others_their_names() -> None:
    found = results()
    found['classes'].append('rare')
    for each in found['runs'].values():
        each['classes'] = len(found['classes'])
    one, _ = table(found)
    gains = one.gains['graph']
    assert np.isnan(gains).tolist() == [False] * (len(gains) - 1) + [True]
    last = drawn('classes', found).axes[-1].get_yticklabels()[-1]
    assert last.get_text() == 'rare'


class Links(HTMLParser):
    """Collects what a page would fetch, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        for key, value in attrs:
            if key in ('src', 'href', 'xlink:href', 'data'):
                self.links.append(value)
            if key == 'id':
                self.ids.append(value)
        assert tag not in ('script', 'link', 'iframe')


def test_gains_of_classes_are_over_common_seeds() -> None:
    found = results()
    for seed in (0, 1):
        found['runs'][f'graph-seed{seed}']['state'] = 'open'
    one, rows = table(found)
    gain = rows['graph'].scores[2] - rows['student'].scores[2]
    # all classes have as many clips
    assert one.gains['graph'].mean() == pytest.approx(gain)


def test_without_a_spread_no_gain_exceeds_it() -> None:
    _, rows = table(results(seeds=1, graph=0.95))
    assert rows['graph'].p is not None and rows['graph'].p < 0.05
    assert not rows['graph'].better


def test_runs_of_a_teacher_that_follows_the_seeds_are_one_row() -> None:
    found = results()
    for seed, level in ((1, 0.8), (2, 0.9)):
        found['teachers'][''][f'tsm_r50-seed{seed}'] = 'TSM-R50'
        found['runs'][f'tsm_r50-seed{seed}'] = run('tsm_r50', seed, level, 23.5, 33.0)
    one, rows = table(found)
    (teacher,) = (row for row in one.rows if row.kind == 'teacher')
    assert teacher.mean == pytest.approx(0.85, abs=0.002)
    gap = teacher.mean - rows['student'].mean
    gained = rows['graph'].mean - rows['student'].mean
    assert rows['graph'].share == pytest.approx(gained / gap)


def test_the_time_of_a_run_that_was_interrupted_is_not_told() -> None:
    found = results()
    spent = times(found)
    for seed, seconds in enumerate((100.0, 300.0, 7.0)):
        spent['runs'][f'graph-seed{seed}']['seconds'] = seconds
    spent['runs']['graph-seed2']['interrupted'] = True
    spent['runs']['student-seed0']['interrupted'] = True
    spent['runs']['student-seed1']['interrupted'] = True
    spent['runs']['student-seed2']['interrupted'] = True
    (one,) = tables(found, spent)
    seconds = {row.name: row.seconds for row in one.rows}
    assert seconds['graph'] == 200.0
    assert seconds['student'] is None


def test_rows_tested_on_different_clips_are_not_compared() -> None:
    found = results()
    found['test_lists']['list1'] = found['test_lists']['list0'][::-1]
    found['runs']['graph-seed0']['test_list'] = 'list1'
    with pytest.raises(ValueError, match=r"study 'made_up', .* tested on 2 lists"):
        table(found)


def test_a_test_without_the_accuracy_is_told(tmp_path: Path) -> None:
    found = results()
    found['runs']['graph-seed1']['metrics'] = {'mAP': 0.5}
    write_json(tmp_path / 'results.json', found)
    write_report(tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert '* graph, seed 1: its test gives no acc/top1' in text


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    found = results()
    found['title'] = '<b>&"'
    write_json(tmp_path / 'results.json', found)
    write_json(tmp_path / 'times.json', times(found))
    write_report(tmp_path)
    page = (tmp_path / 'report.html').read_text()
    links = Links()
    links.feed(page)
    assert all(link.startswith(('#', 'data:image/png')) for link in links.links)
    assert {link[1:] for link in links.links if link[0] == '#'} <= set(links.ids)
    assert len(links.ids) == len(set(links.ids))
    assert '@import' not in page and 'url(http' not in page
    assert '<h1>&lt;b&gt;&amp;&quot;</h1>' in page
    assert page.count('<figure>') == 4
    assert 'name="viewport"' in page and 'prefers-color-scheme:dark' in page
    # the pictures take the page's ink
    assert 'currentColor' in page and not re.search('#01020[34]', page)


def test_the_report_is_the_same_for_the_same_results(tmp_path: Path) -> None:
    found = results()
    pages = []
    for name in ('a', 'b'):
        write_json(tmp_path / name / 'results.json', found)
        write_report(tmp_path / name)
        pages.append((tmp_path / name / 'report.html').read_bytes())
    assert pages[0] == pages[1]


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / 'results.json', dict(results(), format=2))
    with pytest.raises(ValueError, match='has format 2, this version reads 1'):
        write_report(tmp_path)


def test_without_results_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='run the study first'):
        write_report(tmp_path)


@pytest.mark.parametrize('folder', PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_report_is_what_its_results_give(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # they take long, and are not compared
    monkeypatch.setattr(report, 'write_png', lambda path, draw: None)
    monkeypatch.setattr(report, 'page', lambda *found: '')
    write_report(folder, tmp_path)
    text = (folder / 'report.md').read_text(encoding='utf-8')
    assert (tmp_path / 'report.md').read_text(encoding='utf-8') == text
    named = re.findall(r'work_dirs/studies/([^/]+)/runs/', text)
    assert set(named) == {folder.name}


def drawn(picture: str, found: dict[str, Any]) -> Figure:
    one, _ = table(found)
    _, draw = pictures(one, found)[picture]
    seen: list[Figure] = []

    def kept(figure: Figure) -> None:
        draw(figure)
        seen.append(figure)

    png(kept)
    seen[0].draw_without_rendering()  # in the resolution that sizes are told in
    return seen[0]


@pytest.mark.parametrize('picture', ['curves', 'cost'])
def test_rows_of_one_color_differ_in_their_line_or_marker(
    picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, 'COLORS', COLORS[:3])
    lines = drawn(picture, results()).axes[0].lines
    looks = {
        (one.get_color(), one.get_linestyle(), one.get_marker(), one.get_fillstyle())
        for one in lines
    }
    assert len(looks) == len(lines) > 2


def test_curves_of_epochs_of_different_lengths_are_over_steps() -> None:
    found = results()
    assert drawn('curves', found).axes[0].get_xlabel() == 'epoch'
    runs = {name: run for name, run in found['runs'].items() if 'curve' in run}
    for name, found_run in runs.items():
        for point in found_run['curve']:
            point['iter'] = point['epoch'] * (6 if name.startswith('student') else 53)
    axes = drawn('curves', found).axes[0]
    assert axes.get_xlabel() == 'step'
    assert {max(line.get_xdata()) for line in axes.lines} == {12 * 6, 12 * 53}
    for found_run in runs.values():
        for point in found_run['curve']:
            point['iter'] = point['epoch'] * 53
    assert drawn('curves', found).axes[0].get_xlabel() == 'epoch'


# of two rows there is no room for a name
@pytest.mark.parametrize(
    ('pairs', 'names'),
    [
        (0, ['classes']),
        (1, ['', 'other classes']),
        (6, ['reversal pairs', '']),
        (7, ['reversal pairs']),
    ],
)
def test_names_of_groups_of_classes_are_whole_or_left_out(
    pairs: int, names: list[str]
) -> None:
    found = results()
    found['reversals'] = found['reversals'][:pairs]
    figure = drawn('classes', found)
    assert [axes.get_ylabel() for axes in figure.axes] == names
    for axes in figure.axes:
        box = axes.yaxis.label.get_window_extent()
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_each_class_of_a_pair_has_its_own_name_whatever_is_in_it() -> None:
    found = results()
    named = {name: name.replace('_', ' / ') for name in found['classes']}
    found['classes'] = list(named.values())
    found['reversals'] = [[named[name] for name in pair] for pair in found['reversals']]
    axes = drawn('classes', found).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [name for pair in found['reversals'] for name in pair]
    assert any('/' in label for label in labels)


@pytest.mark.parametrize('letters', [22, 27, 40])
@pytest.mark.parametrize('picture', ['accuracy', 'curves', 'classes'])
def test_long_titles_leave_room_in_their_picture(picture: str, letters: int) -> None:
    found = results()
    found['methods'] = {name: 'M' + 'e' * (letters - 1) for name in found['methods']}
    figure = drawn(picture, found)
    axes = figure.axes[0]
    page = figure.bbox
    texts: dict[str, list[Any]] = dict(
        accuracy=[*axes.get_yticklabels(), axes.xaxis.label],
        curves=figure.legends,
        classes=axes.get_xticklabels(),
    )
    for text in texts[picture]:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1
        assert page.y0 <= box.y0 and box.y1 <= page.y1
    numbers = [number.get_window_extent() for number in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(numbers, 2))
