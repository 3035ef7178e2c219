"""tools/plot_graph.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from recognizer_toys import config, run, teacher
from small_project import tool

plot = tool('plot_graph')


def test_a_run_of_both_graphs_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    heads = dict(
        logits_graph=dict(type='mmvkd.LogitsGraphHead', edges='learned', cost='binary'),
        pairs=dict(type='mmvkd.RepresentationGraphHead', tap='backbone.layer4', dim=16),
    )
    model = config(teachers=dict(a=teacher(), b=teacher()), heads=heads)
    work, out = tmp_path / 'work', tmp_path / 'graph.png'
    run(
        model,
        work,
        visualizer=dict(
            type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
        custom_hooks=[dict(type='mmvkd.GraphPictureHook')],
    )
    # what the hook drew meanwhile
    (picture,) = work.glob('*/vis_data/vis_image/graph_1.png')
    assert picture.read_bytes().startswith(b'\x89PNG')
    capsys.readouterr()

    plot([str(work), '--out', str(out)])

    assert out.read_bytes().startswith(b'\x89PNG')
    said = capsys.readouterr().out
    assert 'logits_graph: a 0.' in said
    assert 'pairs: a – b 1.000' in said


def test_a_folder_without_a_run_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        plot([str(tmp_path)])
    said = capsys.readouterr().err
    assert said.startswith('error: ') and 'has no log' in said
    assert said.count('\n') == 1
