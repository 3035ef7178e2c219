"""Data transforms."""

from mmvkd.datasets.transforms.oversample import OversampleFrames

__all__ = ['OversampleFrames']
