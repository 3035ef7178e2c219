"""Data transforms."""

from mmvkd.datasets.transforms.clips import ReverseClip, StandardizeClip
from mmvkd.datasets.transforms.decoders import DecodeVideo, OpenVideo
from mmvkd.datasets.transforms.oversample import OversampleFrames
from mmvkd.datasets.transforms.pretext import (
    FrameRegistration,
    FrameSorting,
    OddOneOut,
    PlaybackPace,
    PretextTask,
    RandomPace,
    RandomWindow,
    TemporalCoherence,
)

__all__ = [
    'DecodeVideo',
    'FrameRegistration',
    'FrameSorting',
    'OddOneOut',
    'OpenVideo',
    'OversampleFrames',
    'PlaybackPace',
    'PretextTask',
    'RandomPace',
    'RandomWindow',
    'ReverseClip',
    'StandardizeClip',
    'TemporalCoherence',
]
