"""Parameter schedulers."""

from mmvkd.engine.schedulers.phase import PhaseLR

__all__ = ['PhaseLR']
