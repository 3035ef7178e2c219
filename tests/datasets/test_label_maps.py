"""Which classes an augmentation exchanged is told, whatever the clip's label is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmaction.datasets.transforms import Flip
from videos import dataset, pipeline, write_list

from mmvkd.datasets import SeededDataset
from mmvkd.datasets.fingerprint import data_fingerprint
from mmvkd.datasets.transforms.clips import ReverseClip
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey


def build(ann_file: str, *transforms: Any) -> SeededDataset:
    """A data set whose pipeline has these transforms behind the decoder."""
    data = DATASETS.build(
        dataset(ann_file, pipeline=[*pipeline(augment=False)[:-2], *transforms, *END])
    )
    return data


END = pipeline(augment=False)[-2:]


def flip(ratio: float, label_map: dict[int, int], **settings: Any) -> dict[str, Any]:
    return dict(type='Flip', flip_ratio=ratio, flip_label_map=label_map, **settings)


def reverse(ratio: float, label_map: dict[int, int]) -> dict[str, Any]:
    return dict(type='mmvkd.ReverseClip', ratio=ratio, label_map=label_map)


@pytest.fixture(scope='module')
def unlabeled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list of four clips with labels 0, 1, 2 and none."""
    path = write_list(tmp_path_factory.mktemp('clips'), 4)
    text = Path(path).read_text()
    Path(path).write_text(text.replace(' 3\n', ' -1\n'))
    return path


def test_a_flip_tells_its_map_of_every_clip_it_flipped(unlabeled: str) -> None:
    data = build(unlabeled, flip(0.5, {0: 1, 1: 0}))
    flipped = set()
    for index in range(4):
        for epoch in range(8):
            sample = data[SampleKey(index, epoch)]['data_samples']
            told = sample.metainfo.get('label_map')
            if told is not None:
                assert told == {0: 1, 1: 0}
                flipped.add(index)
            own = (0, 1, 2, -1)[index]
            assert sample.gt_label.item() == (told or {}).get(own, own)
    assert flipped == {0, 1, 2, 3}


def test_a_flip_moves_each_of_several_labels(tmp_path: Path) -> None:
    path = write_list(tmp_path, 4)
    lines = Path(path).read_text().splitlines()
    names = [line.split()[0] for line in lines]
    several = zip(names, (' 0 3', ' 1', ' 0 1 2', ''))
    Path(path).write_text(''.join(f'{name}{labels}\n' for name, labels in several))
    steps = [*pipeline(augment=False)[:-2], flip(1.0, {0: 1, 1: 0}), *END]
    data = dataset(path, pipeline=steps)
    data['dataset'].update(multi_class=True, num_classes=4)
    samples = DATASETS.build(data)
    labels = [samples[i]['data_samples'].gt_label.tolist() for i in range(4)]
    assert labels == [[0, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def test_a_flip_inside_of_another_transform_tells_its_map(unlabeled: str) -> None:
    inside = dict(type='RandomApply', transforms=[flip(1.0, {0: 1, 1: 0})], prob=0.5)
    data = build(unlabeled, inside)
    told = [data[SampleKey(0, epoch)]['data_samples'] for epoch in range(8)]
    assert {sample.gt_label.item() for sample in told} == {0, 1}
    for sample in told:
        shown = sample.metainfo.get('label_map', {}).get(0, 0)
        assert sample.gt_label.item() == shown


def test_maps_follow_one_another_in_the_order_of_the_pipeline(unlabeled: str) -> None:
    data = build(
        unlabeled,
        flip(1, {0: 1, 1: 0}),
        flip(0, {2: 3, 3: 2}, direction='vertical'),
        reverse(1, {1: 2, 2: 1}),
    )
    shown = {0: 2, 1: 0, 2: 1}
    for index in range(4):
        sample = data[index]['data_samples']
        assert sample.metainfo['label_map'] == shown
        own = (0, 1, 2, -1)[index]
        assert sample.gt_label.item() == shown.get(own, own)


def test_two_flips_that_undo_each_other_leave_nothing_to_tell(unlabeled: str) -> None:
    both = flip(1, {0: 1, 1: 0}), reverse(1, {0: 1, 1: 0})
    assert 'label_map' not in build(unlabeled, *both)[0]['data_samples'].metainfo


def test_without_label_maps_samples_are_as_before(unlabeled: str) -> None:
    data = build(unlabeled, dict(type='Flip', flip_ratio=1.0))
    assert set(data[0]['data_samples'].metainfo) >= {'sample_id', 'view'}
    assert 'label_map' not in data[0]['data_samples'].metainfo


def test_a_watched_pipeline_has_the_fingerprint_of_an_unwatched_one(
    unlabeled: str,
) -> None:
    steps = flip(0.5, {0: 1, 1: 0}), reverse(0.5, {0: 1})
    told = data_fingerprint(build(unlabeled, *steps))['pipeline']
    plain = Flip(flip_ratio=0.5, flip_label_map={0: 1, 1: 0})
    assert any(f"'flip_label_map': {plain.flip_label_map}" in step for step in told)
    assert any(f"'label_map': {ReverseClip(0.5, {0: 1}).label_map}" in s for s in told)


def test_a_fingerprint_tells_what_stands_inside_of_another_transform(
    unlabeled: str,
) -> None:
    def told(*steps: Any) -> dict[str, Any]:
        return data_fingerprint(build(unlabeled, *steps))

    def some(inside: dict[str, Any]) -> dict[str, Any]:
        return dict(type='RandomApply', transforms=[inside], prob=0.5)

    def colors(brightness: float) -> dict[str, Any]:
        return dict(type='TorchVisionWrapper', op='ColorJitter', brightness=brightness)

    assert told(some(flip(0.1, {}))) == told(some(flip(0.1, {})))
    assert told(some(flip(0.1, {}))) != told(some(flip(0.9, {})))
    assert told(colors(0.1)) == told(colors(0.1))
    assert told(colors(0.1)) != told(colors(0.9))
