"""Pretext tasks: questions about a clip that its own frames answer."""

from mmvkd.datasets.transforms.pretext.coherence import TemporalCoherence
from mmvkd.datasets.transforms.pretext.frames import RandomPace, RandomWindow
from mmvkd.datasets.transforms.pretext.odd_one_out import OddOneOut
from mmvkd.datasets.transforms.pretext.pace import PlaybackPace
from mmvkd.datasets.transforms.pretext.registration import FrameRegistration
from mmvkd.datasets.transforms.pretext.sorting import FrameSorting
from mmvkd.datasets.transforms.pretext.task import PretextTask

__all__ = [
    'FrameRegistration',
    'FrameSorting',
    'OddOneOut',
    'PlaybackPace',
    'PretextTask',
    'RandomPace',
    'RandomWindow',
    'TemporalCoherence',
]
