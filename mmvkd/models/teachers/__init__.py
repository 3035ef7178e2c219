"""Teacher wrappers: outputs of a frozen teacher for a batch, or a peer that learns."""

from typing import Union

from mmvkd.models.teachers.cached import CachedTeacher
from mmvkd.models.teachers.peer import Peer
from mmvkd.models.teachers.recognizer import RecognizerTeacher

FrozenTeacher = Union[RecognizerTeacher, CachedTeacher]
Teacher = Union[FrozenTeacher, Peer]

__all__ = ['CachedTeacher', 'FrozenTeacher', 'Peer', 'RecognizerTeacher', 'Teacher']
