"""The picture of refined labels."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from matplotlib.figure import Figure

from mmvkd.visualization import labels
from mmvkd.visualization.pictures import write_png


def state(known: bool, num_classes: int = 3) -> dict[str, Any]:
    """Labels of which one moved."""
    given = torch.tensor([0, 1, -1, 2])
    soft = torch.eye(num_classes)[[0, 2, 1, 2]]
    history = [
        dict(epoch=e, labeled=4, moved=e, accuracy=0.5 + e / 10 if known else None)
        for e in range(3)
    ]
    return dict(
        soft=soft,
        known=torch.ones(4, dtype=torch.bool),
        given=given,
        clean=torch.tensor([0, 2, 1, 2]) if known else torch.full((4,), -1),
        history=history,
    )


def drawn(content: dict[str, Any]) -> Figure:
    figure = Figure()
    labels.draw_labels(figure, content)
    return figure


def test_transitions_count_no_label_last() -> None:
    rows, columns = torch.tensor([0, 1, -1, 1]), torch.tensor([0, 0, 1, -1])
    counts = labels.transitions(rows, columns, 2)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_with_the_truth_both_matrices_and_the_share_of_right_labels_are_shown() -> None:
    given, refined, course = drawn(state(known=True)).axes
    assert given.get_xlabel().startswith('given label')
    assert refined.get_ylabel() == 'true class'
    # class 2: one clip was given class 1, the other its own
    assert [text.get_text() for text in given.texts] == ['100', '100', '50', '50']
    assert [text.get_text() for text in refined.texts] == ['100'] * 3
    assert [t.get_text() for t in given.get_xticklabels()] == ['0', '1', '2', 'none']
    assert [t.get_text() for t in refined.get_xticklabels()] == ['0', '1', '2']
    (line,) = course.lines
    assert line.get_ydata().tolist() == pytest.approx([50, 60, 70])
    # an epoch without any label of a known truth is left out
    content = state(known=True)
    content['history'][0]['accuracy'] = None
    (line,) = drawn(content).axes[-1].lines
    values = line.get_ydata().tolist()
    assert math.isnan(values[0]) and values[1:] == pytest.approx([60, 70])


def test_without_the_truth_the_matrix_is_from_given_to_refined() -> None:
    matrix, course = drawn(state(known=False)).axes
    assert matrix.get_ylabel() == 'given class'
    assert [t.get_text() for t in matrix.get_yticklabels()] == ['0', '1', '2', 'none']
    (line,) = course.lines
    assert line.get_ydata().tolist() == [0, 1, 2]


@pytest.mark.parametrize('num_classes', [3, 60])
def test_a_picture_is_written(tmp_path: Path, num_classes: int) -> None:
    out = tmp_path / 'new' / 'labels.png'
    content = state(known=True, num_classes=num_classes)
    write_png(out, partial(labels.draw_labels, state=content))
    assert cv2.imread(str(out)).shape[1] > 500
