"""Optimizer constructors."""

from mmvkd.engine.optimizers.constructor import DistillOptimWrapperConstructor

__all__ = ['DistillOptimWrapperConstructor']
