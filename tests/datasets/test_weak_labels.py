"""Labels become wrong or go away, by seed; training never sees the true ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader
from videos import dataset, pipeline, write_frames, write_list

from mmvkd.datasets import SeededDataset, WeakLabels
from mmvkd.datasets.fingerprint import data_fingerprint
from mmvkd.datasets.weak_labels import add_noise, take_away
from mmvkd.registry import DATASETS

CLEAN = np.repeat(np.arange(5), [40, 40, 60, 3, 57])


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list of 20 lines; the four classes take turns on six clips."""
    path = write_list(tmp_path_factory.mktemp('clips'), 6)
    lines = Path(path).read_text().splitlines()
    names = [line.split()[0] for line in lines]
    text = [f'{names[i % 6]} {i % 4}\n' for i in range(20)]
    Path(path).write_text(''.join(text))
    return path


def weak(ann_file: str, **settings: Any) -> WeakLabels:
    """The data set of a list, its labels weakened."""
    return DATASETS.build(dict(dataset(ann_file), type='mmvkd.WeakLabels', **settings))


@pytest.mark.parametrize('share', [0.0, 0.1, 0.4, 1.0])
def test_symmetric_noise_makes_exactly_its_share_wrong(share: float) -> None:
    noisy = add_noise(CLEAN, share, 5)
    assert (noisy != CLEAN).sum() == round(share * len(CLEAN))
    assert noisy.min() >= 0 and noisy.max() <= 4


def test_symmetric_noise_takes_every_other_class_about_as_often() -> None:
    noisy = add_noise(np.full(4000, 2), 0.5, 5)
    counts = np.bincount(noisy, minlength=5)
    assert counts[2] == 2000
    assert (np.abs(counts[[0, 1, 3, 4]] - 500) < 100).all()


def test_asymmetric_noise_takes_the_class_behind() -> None:
    noisy = add_noise(CLEAN, 0.4, 5, 'next')
    wrong = noisy != CLEAN
    assert wrong.sum() == 80
    assert (noisy[wrong] == (CLEAN[wrong] + 1) % 5).all()


def test_asymmetric_noise_confuses_the_named_classes_alone() -> None:
    noisy = add_noise(CLEAN, 0.5, 5, {0: 1, 4: 2})
    for right in range(5):
        found = set(noisy[right == CLEAN].tolist())
        assert found == {0: {0, 1}, 4: {4, 2}}.get(right, {right})
    # half of those that can be confused
    assert (noisy != CLEAN).sum() == round(0.5 * 97)


def test_noise_follows_its_seed_and_leaves_missing_labels_missing() -> None:
    labels = np.where(np.arange(200) % 3 == 0, -1, CLEAN)
    noisy = add_noise(labels, 0.5, 5, seed=1)
    assert (noisy[labels == -1] == -1).all()
    assert (noisy == add_noise(labels, 0.5, 5, seed=1)).all()
    assert (noisy != add_noise(labels, 0.5, 5, seed=2)).any()
    assert (add_noise(labels, 1, 5, 'next')[labels == -1] == -1).all()


def test_a_share_of_each_class_keeps_its_label_and_at_least_one_does() -> None:
    kept = take_away(CLEAN, CLEAN, 0.1)
    assert set(kept[kept != CLEAN].tolist()) == {-1}
    assert np.bincount(kept[kept >= 0]).tolist() == [4, 4, 6, 1, 6]


def test_the_same_clips_stay_labeled_with_and_without_noise() -> None:
    noisy = add_noise(CLEAN, 0.4, 5)
    kept = take_away(noisy, CLEAN, 0.2, seed=3)
    assert ((kept >= 0) == (take_away(CLEAN, CLEAN, 0.2, seed=3) >= 0)).all()
    assert (kept[kept >= 0] == noisy[kept >= 0]).all()


def test_samples_and_annotations_have_the_weak_label_and_no_batch_the_true_one(
    clips: str,
) -> None:
    data = weak(clips, noise=0.4)
    labels = [data.get_data_info(i)['label'] for i in range(20)]
    assert sum(labels[i] != i % 4 for i in range(20)) == 8
    assert [data.get_data_info(i)['clean_label'] for i in range(20)] == [
        i % 4 for i in range(20)
    ]
    loader = DataLoader(data, batch_size=20, collate_fn=pseudo_collate, num_workers=1)
    (batch,) = loader
    samples = batch['data_samples']
    assert [sample.gt_label.item() for sample in samples] == labels
    assert not any('clean' in key for s in samples for key in s.all_keys())
    assert samples[7].sample_id == 7


def test_unlabeled_clips_are_left_out_where_every_label_is_needed(clips: str) -> None:
    settings = dict(noise=0.4, labeled=0.4, label_seed=1)
    whole, few = weak(clips, **settings), weak(clips, **settings, labeled_only=True)
    kept = np.flatnonzero(whole.labels >= 0)
    assert len(few) == len(kept) == 8
    for place, index in enumerate(kept):
        own, same = few.get_data_info(place), whole.get_data_info(int(index))
        for key in ('filename', 'label', 'clean_label'):
            assert own[key] == same[key]
    assert few[3]['data_samples'].gt_label.item() == few.labels[3]


def test_labels_follow_the_label_seed(clips: str) -> None:
    first, again, other = (weak(clips, noise=0.4, label_seed=s) for s in (1, 1, 2))
    assert first.labels.tolist() == again.labels.tolist() != other.labels.tolist()


def test_a_flip_maps_the_weak_label(clips: str) -> None:
    steps = pipeline(augment=False)
    steps.insert(4, dict(type='Flip', flip_ratio=1, flip_label_map={0: 1, 1: 0}))
    data = DATASETS.build(
        dict(dataset(clips, pipeline=steps), type='mmvkd.WeakLabels', labeled=0.5)
    )
    for index in range(4):
        own = data.get_data_info(index)['label']
        shown = data[index]['data_samples'].gt_label.item()
        assert shown == {0: 1, 1: 0}.get(own, own)


def test_without_settings_nothing_changes(clips: str) -> None:
    data, plain = weak(clips), DATASETS.build(dataset(clips))
    assert data.labels.tolist() == [i % 4 for i in range(20)]
    assert isinstance(data, SeededDataset)
    assert data_fingerprint(data) == data_fingerprint(plain)


def test_kept_teacher_outputs_fit_whatever_the_labels(clips: str) -> None:
    clean = data_fingerprint(weak(clips))
    assert data_fingerprint(weak(clips, noise=0.4, labeled=0.5)) == clean


def test_frame_folders_can_be_weakened(tmp_path: Path) -> None:
    lines = []
    for i in range(4):
        write_frames(tmp_path / f'clip{i}', seed=i)
        lines.append(f'clip{i} 12 {i % 2}\n')
    path = tmp_path / 'list.txt'
    path.write_text(''.join(lines))
    data = WeakLabels(
        dict(
            type='RawframeDataset',
            ann_file=str(path),
            data_prefix=dict(img=str(tmp_path)),
            pipeline=pipeline(decoder='RawFrame'),
        ),
        noise=1.0,
    )
    assert [data[i]['data_samples'].gt_label.item() for i in range(4)] == [1, 0, 1, 0]


def test_what_was_done_is_written_down(clips: str, tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'labels.json'
    data = weak(clips, noise=0.4, labeled=0.6, label_seed=5, record=str(path))
    told = json.loads(path.read_text())
    assert told['labels'] == data.labels.tolist()
    assert told['clean'] == [i % 4 for i in range(20)]
    assert (told['noise'], told['labeled'], told['clips']) == (0.4, 12, 20)
    assert told['label_seed'] == 5
    pairs = zip(told['labels'], told['clean'])
    assert told['wrong'] == sum(label not in (-1, right) for label, right in pairs)


def test_a_set_to_score_on_is_refused(clips: str) -> None:
    config = dataset(clips, test_mode=True)
    with pytest.raises(ValueError, match=r"train\.txt' is loaded in test_mode"):
        DATASETS.build(dict(config, type='mmvkd.WeakLabels', noise=0.4))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(noise=1.5), r'noise=1\.5, expected a share from 0 to 1'),
        (dict(labeled=0), r'labeled=0, expected a share above 0'),
        (dict(noise=0.1, confusion='near'), r"confusion 'near' is unknown"),
        (dict(noise=0.1, confusion={0: 4}), r'names class 4; there are 4'),
        (dict(noise=0.1, num_classes=2), r'label 3 is none of num_classes=2'),
    ],
)
def test_settings_out_of_range_are_named(
    clips: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        weak(clips, **settings)


def test_several_labels_a_clip_are_refused(clips: str) -> None:
    config = dataset(clips, multi_class=True, num_classes=4)
    with pytest.raises(ValueError, match='several labels a clip'):
        DATASETS.build(dict(config, type='mmvkd.WeakLabels'))
