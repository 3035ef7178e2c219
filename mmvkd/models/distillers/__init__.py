"""Distillers: recognizers that learn from teachers."""

from mmvkd.models.distillers.video_distiller import VideoDistiller

__all__ = ['VideoDistiller']
