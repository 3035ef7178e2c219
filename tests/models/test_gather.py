"""Means over clips, in one process; test_distributed.py has two."""

from __future__ import annotations

import torch

from mmvkd.models.gather import clip_mean


def test_clips_outside_the_mask_give_neither_value_nor_gradient() -> None:
    loss = torch.tensor([1.0, float('inf'), 4.0], requires_grad=True)
    mean = clip_mean(loss, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2.5
    assert loss.grad.tolist() == [0.5, 0.0, 0.5]


def test_without_a_mask_every_clip_counts_once() -> None:
    assert clip_mean(torch.tensor([1.0, 2.0, 6.0])).item() == 3


def test_no_clip_in_the_mask_gives_zero_with_zero_gradient() -> None:
    loss = torch.tensor([1.0, float('nan'), 4.0], requires_grad=True)
    mean = clip_mean(loss, torch.zeros(3, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert loss.grad.tolist() == [0.0, 0.0, 0.0]
