"""A sampler that hands over the key of each sample's randomness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mmengine.dataset import DefaultSampler

from mmvkd.registry import DATA_SAMPLERS


class SampleKey(NamedTuple):
    """What decides a training sample, augmentation included.

    Args:
        sample_id: Position in the annotation list.
        epoch: From 0.
        seed: The run's.
    """

    sample_id: int
    epoch: int = 0
    seed: int = 0


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """``DefaultSampler`` whose indices carry the epoch and the run's seed.

    Persistent workers hold copies of the dataset that never see an attribute change;
    what travels with the index reaches them. Needs
    :class:`~mmvkd.datasets.seeded.SeededDataset`.
    """

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]
        """Keys of this process's samples."""
        for index in super().__iter__():
            yield SampleKey(index, self.epoch, self.seed)
