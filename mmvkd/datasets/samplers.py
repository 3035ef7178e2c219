"""A sampler that hands over the key of each sample's randomness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from mmengine.dataset import DefaultSampler

from mmvkd.registry import DATA_SAMPLERS


class SampleKey(NamedTuple):
    """What decides a training sample, augmentation included.

    Args:
        sample_id: Position in the annotation list.
        epoch: From 0; or the number of one of K views that recur.
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

    Args:
        views: K seeded views of each clip recur, epoch by epoch, whatever the run's
            seed, so that a teacher's outputs can be kept for them; None draws a new
            view in each epoch.
        **kwargs: Of ``DefaultSampler``.

    Raises:
        ValueError: if ``views`` is not positive.
    """

    def __init__(self, *args: Any, views: Optional[int] = None, **kwargs: Any) -> None:
        if views is not None and views < 1:
            raise ValueError(f'views={views}, expected 1 or more, or None')
        super().__init__(*args, **kwargs)
        self.views = views

    def __iter__(self) -> Iterator[SampleKey]:  # type: ignore[override]
        """Keys of this process's samples."""
        for index in super().__iter__():
            if self.views is None:
                yield SampleKey(index, self.epoch, self.seed)
            else:
                yield cached_view(index, self.epoch % self.views)


def cached_view(sample_id: int, view: int) -> SampleKey:
    """The key of a view that recurs: the same in every run."""
    return SampleKey(sample_id, view, seed=0)
