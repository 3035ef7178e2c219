"""The picture of a graph is drawn from what a run leaves."""

from __future__ import annotations

import json
from functools import partial
from itertools import combinations
from math import dist
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from mmvkd.visualization.graph import draw_graph, read_graphs
from mmvkd.visualization.pictures import png


def logged(folder: Path, *entries: dict, run: str = '20250101_000000') -> Path:
    """A run's folder with these lines in its log."""
    file = folder / run / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    lines = [json.dumps(entry) for entry in entries]
    file.write_text('\n'.join([*lines, '{"cut off']))
    return folder


def entry(step: int, trust: float) -> dict:
    return {
        'step': step,
        'loss': 1.0,
        'logits_graph_iterations': 20.0,
        'logits_graph_trust_tsm_r50': trust,
        'logits_graph_trust_tsm_r34': 1 - trust,
        'pairs_edge_tsm_r50+tsm_r34': 1.0,
    }


def test_edges_are_read_from_the_log_by_head(tmp_path: Path) -> None:
    folder = logged(tmp_path, entry(20, 0.5), {'acc/top1': 0.3, 'step': 1})
    logged(tmp_path, entry(20, 0.6), entry(40, 0.7), run='20250102_000000')

    first, second = read_graphs(folder)

    assert (first.head, first.teachers) == ('logits_graph', ['tsm_r50', 'tsm_r34'])
    # the resumed run logged step 20 again
    assert first.trust['tsm_r50'] == {20: 0.6, 40: 0.7}
    assert first.by_class is None
    assert second.head == 'pairs'
    assert second.pairs == {('tsm_r50', 'tsm_r34'): {20: 1.0, 40: 1.0}}
    assert second.teachers == ['tsm_r50', 'tsm_r34']


def test_the_trust_by_class_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    folder = logged(tmp_path, entry(20, 0.5))
    trust = torch.rand(2, 3)
    state = {'distill.heads.logits_graph.trust_by_class': trust}
    torch.save(dict(state_dict=state), folder / 'best_acc.pth')

    graph = read_graphs(folder)[0]

    assert graph.by_class is not None
    assert graph.by_class.tolist() == trust.tolist()


def texts(figure: Figure) -> str:
    """All that is written in a picture."""
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    for axes in figure.axes:
        found += [axes.get_title(), axes.get_xlabel()]
        found += [label.get_text() for label in axes.get_xticklabels()]
    return ' '.join(found)


def test_a_picture_names_vertices_and_says_how_much_each_edge_weighs(
    tmp_path: Path,
) -> None:
    graphs = read_graphs(logged(tmp_path, entry(20, 0.25), entry(40, 0.75)))
    graphs[0].by_class = torch.rand(2, 3).numpy()
    figure = Figure()

    draw_graph(figure, graphs, ['jump', 'run', 'sit'])

    written = texts(figure)
    for name in ('tsm_r50', 'tsm_r34', 'student', 'logits graph', 'pairs', 'jump'):
        assert name in written
    assert '0.75' in written and '1.00' in written
    (line, *_) = figure.axes[1].lines
    assert line.get_xydata().tolist() == [[20, 0.25], [40, 0.75]]
    assert png(partial(draw_graph, graphs=graphs)).startswith(b'\x89PNG')
    with pytest.raises(ValueError, match='2 names of classes; the graph has 3'):
        draw_graph(Figure(), graphs, ['jump', 'run'])


def test_classes_without_names_have_whole_numbers(tmp_path: Path) -> None:
    graphs = read_graphs(logged(tmp_path, entry(20, 0.25), entry(40, 0.75)))
    graphs[0].by_class = torch.rand(2, 2).numpy()
    figure = Figure()
    draw_graph(figure, graphs)
    (axes,) = (a for a in figure.axes if a.get_xlabel() == 'class of the clip')
    assert [x for x in axes.get_xticks() if -0.5 <= x <= 1.5] == [0, 1]


def test_a_teacher_alone_has_an_edge_to_itself_and_one_to_the_student(
    tmp_path: Path,
) -> None:
    graphs = read_graphs(
        logged(tmp_path, {'step': 5, 'g_trust_a': 1.0, 'h_edge_a+a': 1.0})
    )
    assert [graph.teachers for graph in graphs] == [['a'], ['a']]
    assert png(partial(draw_graph, graphs=graphs)).startswith(b'\x89PNG')


@pytest.mark.parametrize('count', [2, 3, 4, 5])
def test_names_and_weights_keep_apart(tmp_path: Path, count: int) -> None:
    teachers = 'abcde'[:count]
    pairs = list(combinations(teachers, 2))
    trust = {f'logits_trust_{name}': 0.1 for name in teachers}
    edges = {f'pairs_edge_{"+".join(pair)}': 0.1 for pair in pairs}
    figure = Figure()

    draw_graph(figure, read_graphs(logged(tmp_path, {'step': 5, **trust, **edges})))

    logits, pairwise = ([text.xy for text in figure.axes[k].texts] for k in (0, 2))
    assert len(logits) == 2 * count + 1 and len(pairwise) == count + len(pairs)
    for places in (logits, pairwise):
        assert min(dist(*two) for two in combinations(places, 2)) > 0.15


def test_a_folder_without_a_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='has no log such as'):
        read_graphs(tmp_path)
    with pytest.raises(FileNotFoundError, match='has no edges; a run logs them'):
        read_graphs(logged(tmp_path, {'step': 1, 'loss': 1.0}))
