"""A sampler whose indices carry the key of each sample's randomness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from mmengine.dataset import DefaultSampler

from mmvkd.datasets.seeded import SeededDataset
from mmvkd.registry import DATA_SAMPLERS
from mmvkd.seeding import SampleKey, cached_view


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """``DefaultSampler`` whose indices carry the epoch and the run's seed.

    Persistent workers hold copies of the dataset that never see an attribute change,
    but what travels with the index reaches them. The order is MMEngine's, from the sum
    of seed and epoch: seed 1 has in its first epoch that of seed 0 in its second.

    Args:
        dataset: A :class:`~mmvkd.datasets.seeded.SeededDataset`.
        views: Number K of seeded views of each clip that recur, one per epoch, whatever
            the run's seed, so that a teacher's outputs for them can be kept; None draws
            a new view in each epoch.
        **kwargs: Arguments of ``DefaultSampler``.

    Raises:
        TypeError: for any other dataset.
        ValueError: if ``views`` is not positive.
    """

    def __init__(
        self, dataset: SeededDataset, views: Optional[int] = None, **kwargs: Any
    ) -> None:
        if not isinstance(dataset, SeededDataset):
            raise TypeError(
                'SeededSampler hands keys to a mmvkd.SeededDataset, got '
                f'{type(dataset).__name__}: wrap the dataset itself in it, write '
                'several lists into one, and repeat by max_epochs'
            )
        if views is not None and views < 1:
            raise ValueError(f'views={views}, expected 1 or more, or None')
        super().__init__(dataset, **kwargs)
        self.views = views

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]
        """Keys of this process's samples."""
        for index in super().__iter__():
            if self.views is None:
                yield SampleKey(index, self.epoch, self.seed)
            else:
                yield cached_view(index, self.epoch % self.views)
