"""What changes over time, and the optimizer."""

from mmvkd.engine import hooks, optimizers

__all__ = ['hooks', 'optimizers']
