"""Data transforms."""

from mmvkd.datasets.transforms.clips import ReverseClip, StandardizeClip
from mmvkd.datasets.transforms.decoders import DecodeVideo, OpenVideo
from mmvkd.datasets.transforms.oversample import OversampleFrames

__all__ = [
    'DecodeVideo',
    'OpenVideo',
    'OversampleFrames',
    'ReverseClip',
    'StandardizeClip',
]
