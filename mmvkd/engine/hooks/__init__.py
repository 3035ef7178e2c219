"""Hooks."""

from mmvkd.engine.hooks.cascade import CascadeHook
from mmvkd.engine.hooks.checkpoint import AtomicCheckpointHook
from mmvkd.engine.hooks.data_check import DataCheckHook
from mmvkd.engine.hooks.distill_check import DistillCheckHook
from mmvkd.engine.hooks.graph_picture import GraphPictureHook
from mmvkd.engine.hooks.guard import CheckpointGuardHook
from mmvkd.engine.hooks.pseudo_label import PseudoLabelHook
from mmvkd.engine.hooks.resume import ExactResumeHook
from mmvkd.engine.hooks.seeding import SeedingHook

__all__ = [
    'AtomicCheckpointHook',
    'CascadeHook',
    'CheckpointGuardHook',
    'DataCheckHook',
    'DistillCheckHook',
    'ExactResumeHook',
    'GraphPictureHook',
    'PseudoLabelHook',
    'SeedingHook',
]
