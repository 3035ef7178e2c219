"""Data transforms."""

from mmvkd.datasets.transforms.clips import ReverseClip, StandardizeClip
from mmvkd.datasets.transforms.oversample import OversampleFrames

__all__ = ['OversampleFrames', 'ReverseClip', 'StandardizeClip']
