"""Teacher wrappers: a teacher's logits and tapped features for a batch, frozen."""

from typing import Union

from mmvkd.models.teachers.cached import CachedTeacher
from mmvkd.models.teachers.recognizer import RecognizerTeacher

Teacher = Union[RecognizerTeacher, CachedTeacher]

__all__ = ['CachedTeacher', 'RecognizerTeacher', 'Teacher']
