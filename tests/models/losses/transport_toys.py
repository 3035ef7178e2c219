"""Costs between made-up classes, and distributions over them."""

from __future__ import annotations

import torch

from mmvkd.models.losses import prototype_cost, sinkhorn


def ground_cost(classes, seed=0, channels=6):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, channels, generator=generator)
    return prototype_cost([weight]).double()


def binary_cost(classes):
    """Of moves that cost the same, 1."""
    return 1 - torch.eye(classes)


def probabilities(clips, classes, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(clips, classes, generator=generator, dtype=torch.float64)
    return (scale * logits).softmax(-1)


def divergence_of(*args, **settings):
    return sinkhorn(*args, **settings).divergence
