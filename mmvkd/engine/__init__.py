"""Hooks, optimizer constructors and parameter schedulers."""

from mmvkd.engine import hooks, optimizers, schedulers

__all__ = ['hooks', 'optimizers', 'schedulers']
