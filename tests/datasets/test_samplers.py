"""The sampler hands over the key of each sample's randomness."""

from __future__ import annotations

from mmengine.dataset import DefaultSampler

from mmvkd.datasets import SeededSampler
from mmvkd.datasets.samplers import SampleKey


def test_keys_carry_epoch_and_seed_in_the_order_of_the_default_sampler() -> None:
    data = list(range(7))
    mine = SeededSampler(data, shuffle=True, seed=9)
    plain = DefaultSampler(data, shuffle=True, seed=9)
    for epoch in (0, 3):
        mine.set_epoch(epoch)
        plain.set_epoch(epoch)
        assert list(mine) == [SampleKey(i, epoch, 9) for i in plain]
    assert len(mine) == 7


def test_another_epoch_has_another_order() -> None:
    sampler = SeededSampler(list(range(20)), shuffle=True, seed=9)
    first = [key.sample_id for key in sampler]
    sampler.set_epoch(1)
    second = [key.sample_id for key in sampler]
    assert first != second
    assert sorted(first) == sorted(second)
