"""The sampler hands over the key of each sample's randomness."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset
from videos import dataset, write_list

from mmvkd.datasets import SeededDataset, SeededSampler
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey


@pytest.fixture
def data(tmp_path: Path) -> SeededDataset:
    """A data set of seven clips."""
    return DATASETS.build(dataset(write_list(tmp_path, 7)))


def test_keys_carry_epoch_and_seed_in_the_order_of_the_default_sampler(
    data: SeededDataset,
) -> None:
    mine = SeededSampler(data, shuffle=True, seed=9)
    plain = DefaultSampler(data, shuffle=True, seed=9)
    for epoch in (0, 3):
        mine.set_epoch(epoch)
        plain.set_epoch(epoch)
        assert list(mine) == [SampleKey(i, epoch, 9) for i in plain]
    assert len(mine) == 7


def test_another_epoch_has_another_order(data: SeededDataset) -> None:
    sampler = SeededSampler(data, shuffle=True, seed=9)
    first = [key.sample_id for key in sampler]
    sampler.set_epoch(1)
    second = [key.sample_id for key in sampler]
    assert first != second
    assert sorted(first) == sorted(second)


def test_a_dataset_that_takes_no_keys_is_refused(
    data: SeededDataset, tmp_path: Path
) -> None:
    config = dataset(str(tmp_path / 'train.txt'))
    repeated = RepeatDataset(config, times=2)
    joined = ConcatDataset([config, config])
    for other in (repeated, joined, data.dataset):
        told = f'to a mmvkd.SeededDataset, got {type(other).__name__}: wrap'
        with pytest.raises(TypeError, match=told):
            SeededSampler(other)
