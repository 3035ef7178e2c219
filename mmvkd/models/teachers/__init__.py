"""Teacher wrappers: a teacher's logits and tapped features for a batch, frozen."""

from mmvkd.models.teachers.recognizer import RecognizerTeacher

__all__ = ['RecognizerTeacher']
