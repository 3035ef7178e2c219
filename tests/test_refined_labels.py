"""Labels as checkpoints keep them, and as annotation files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from mmaction.datasets import VideoDataset
from videos import pipeline

from mmvkd.datasets import SeededDataset
from mmvkd.refined_labels import accuracy, classes, export_labels, list_lines

VIDEOS = ['a/one.mp4 2', 'a/two.mp4 0', 'b/three.mp4 1']
FRAMES = ['one 12 2', 'two 7 0']


def state(**changes: Any) -> dict[str, Any]:
    """The labels of three clips, one of them without."""
    soft = torch.tensor([[0.1, 0.2, 0.7], [0.0, 0.0, 0.0], [0.4, 0.3, 0.3]])
    return dict(
        soft=soft,
        known=torch.tensor([True, False, True]),
        given=torch.tensor([2, -1, 1]),
        clean=torch.tensor([2, 1, 1]),
        lines=['a/one.mp4', 'a/two.mp4', 'b/three.mp4'],
        delimiter=' ',
        history=[],
        **changes,
    )


def seeded(kind: str, path: Path, prefix: str, **settings: Any) -> SeededDataset:
    key = dict(VideoDataset='video', RawframeDataset='img')[kind]
    config = dict(type=kind, ann_file=str(path), data_prefix={key: prefix}, **settings)
    return SeededDataset(dict(config, pipeline=pipeline()))


@pytest.mark.parametrize('prefix', ['data/clips', 'data/clips/', ''])
@pytest.mark.parametrize(
    ('kind', 'lines'), [('VideoDataset', VIDEOS), ('RawframeDataset', FRAMES)]
)
def test_lines_are_those_of_the_list_without_folder_and_label(
    tmp_path: Path, kind: str, lines: list[str], prefix: str
) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('\n'.join(lines))
    told = list_lines(seeded(kind, path, prefix))
    assert told['lines'] == [line.rpartition(' ')[0] for line in lines]


def test_lines_of_frames_with_offset_and_of_another_delimiter_are_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('one 3 12 2')
    told = list_lines(seeded('RawframeDataset', path, 'data', with_offset=True))
    assert told == dict(lines=['one 3 12'], delimiter=' ')
    path.write_text('a one.mp4;2')
    told = list_lines(seeded('VideoDataset', path, 'data', delimiter=';'))
    assert told == dict(lines=['a one.mp4'], delimiter=';')


def test_an_exported_list_is_one_that_mmaction2_reads(tmp_path: Path) -> None:
    out = tmp_path / 'new' / 'refined.txt'
    export_labels(state(), str(out))
    loaded = VideoDataset(str(out), pipeline=[], data_prefix=dict(video='data'))
    infos = [loaded.get_data_info(i) for i in range(3)]
    assert [info['label'] for info in infos] == [2, -1, 0]
    assert infos[2]['filename'] == 'data/b/three.mp4'


def test_the_table_says_how_sure_each_label_is(tmp_path: Path) -> None:
    table = export_labels(state(), str(tmp_path / 'refined.txt'))
    assert table == tmp_path / 'refined.csv'
    with table.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == dict(
        clip='b/three.mp4', given='1', refined='0', confidence='0.4000'
    )
    assert (rows[1]['refined'], rows[1]['confidence']) == ('-1', '0.0000')


def test_a_list_named_as_its_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"refined\.csv' is to be an annotation file"):
        export_labels(state(), str(tmp_path / 'refined.csv'))


def test_accuracy_is_over_labels_whose_truth_is_known() -> None:
    assert classes(state()).tolist() == [2, -1, 0]
    assert accuracy(state()) == 0.5
    unknown = dict(state(), clean=torch.tensor([-1, 1, -1]))
    assert accuracy(unknown) is None
