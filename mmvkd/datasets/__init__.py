"""Datasets: seeded samples, the sampler that keys them, and the embedded Motions."""

from mmvkd.datasets.pretext import PretextDataset
from mmvkd.datasets.samplers import SeededSampler
from mmvkd.datasets.seeded import SeededDataset
from mmvkd.datasets.weak_labels import WeakLabels

__all__ = ['PretextDataset', 'SeededDataset', 'SeededSampler', 'WeakLabels']
