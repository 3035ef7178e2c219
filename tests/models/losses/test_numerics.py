from __future__ import annotations

import pytest
import torch

from mmvkd.models.losses import masked_mean
from mmvkd.models.losses.numerics import nonnegative


def test_a_masked_mean_leaves_out_clips_of_weight_zero():
    loss = torch.tensor([1.0, 100.0, 4.0], requires_grad=True)

    mean = masked_mean(loss, torch.tensor([1.0, 0.0, 2.0]))
    mean.backward()

    assert mean.item() == pytest.approx(3.0)
    assert loss.grad.tolist() == pytest.approx([1 / 3, 0.0, 2 / 3])


def test_a_masked_mean_without_weights_is_the_mean():
    assert masked_mean(torch.tensor([1.0, 2.0, 6.0])).item() == pytest.approx(3.0)


def test_a_masked_mean_of_masked_clips_alone_is_zero_with_zero_gradient():
    loss = torch.tensor([1.0, float('inf'), float('nan')], requires_grad=True)

    mean = masked_mean(loss, torch.zeros(3))
    mean.backward()

    assert mean.item() == 0
    assert loss.grad.tolist() == [0, 0, 0]


def test_a_masked_mean_takes_a_boolean_mask_and_refuses_another_shape():
    loss = torch.tensor([1.0, 3.0])

    assert masked_mean(loss, torch.tensor([False, True])).item() == 3
    with pytest.raises(ValueError, match=r'weight \(3,\).*\(2,\)'):
        masked_mean(loss, torch.ones(3))


def test_lifting_noise_to_zero_leaves_the_gradient_alone():
    loss = torch.tensor([-1e-8, 2.0], requires_grad=True)

    lifted = nonnegative(loss)
    lifted.sum().backward()

    assert lifted.tolist() == [0.0, 2.0]
    assert loss.grad.tolist() == [1.0, 1.0]
