from __future__ import annotations

import torch

from mmvkd.models.losses.numerics import nonnegative


def test_lifting_noise_to_zero_leaves_the_gradient_alone():
    loss = torch.tensor([-1e-8, 2.0], requires_grad=True)

    lifted = nonnegative(loss)
    lifted.sum().backward()

    assert lifted.tolist() == [0.0, 2.0]
    assert loss.grad.tolist() == [1.0, 1.0]
