"""Initialization from nothing."""

from __future__ import annotations

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from toys import FRAMES, tiny_tsm


def first_stage(depth: int, scale: float) -> nn.Module:
    init = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', layer='BatchNorm2d', val=1.0),
        dict(type='mmvkd.ResidualScaleInit', scale=scale),
    ]
    torch.manual_seed(0)
    model = MODELS.build(tiny_tsm(depth, init_cfg=init))
    model.init_weights()
    return model.backbone.layer1.eval()


def positive(channels: int) -> Tensor:
    return torch.rand(FRAMES, channels, 8, 8, generator=torch.manual_seed(1))


@pytest.mark.parametrize(('depth', 'channels'), [(18, 64), (50, 256)])
def test_the_residual_branches_are_scaled(depth: int, channels: int) -> None:
    x = positive(channels)
    # the branches are linear in the scale; the last step of a block is its ReLU
    full, half, none = (first_stage(depth, scale)[1](x) for scale in (1.0, 0.5, 0.0))
    assert torch.equal(none, x)
    alive = (full > 0) & (half > 0)
    assert alive.any()
    assert torch.allclose(half[alive], ((full + x) / 2)[alive], atol=1e-5)


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(ValueError, match='at least 0, got -1'):
        first_stage(18, -1)
