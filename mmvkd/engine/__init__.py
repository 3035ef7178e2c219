"""What changes over time, the optimizer and its rate."""

from mmvkd.engine import hooks, optimizers, schedulers

__all__ = ['hooks', 'optimizers', 'schedulers']
