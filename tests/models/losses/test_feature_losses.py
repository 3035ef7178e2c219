from __future__ import annotations

import numpy as np
import pytest
import torch

from mmvkd.models.losses import feature_mse

SHAPES = [(1, 2, 1, 1, 2), (3, 4, 2, 3, 5)]


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.standard_normal(shape) + 0.5


@pytest.mark.parametrize('shape', SHAPES)
def test_the_feature_loss_is_the_mean_squared_difference_of_a_clip(shape):
    student, teacher = pair(shape)
    expected = [np.mean((s - t) ** 2) for s, t in zip(student, teacher)]

    loss = feature_mse(torch.from_numpy(student), torch.from_numpy(teacher))

    assert loss.tolist() == pytest.approx(expected)


def test_a_feature_loss_of_a_clip_does_not_depend_on_the_batch():
    student, teacher = (torch.from_numpy(x) for x in pair((3, 4, 2, 3, 5)))
    alone = feature_mse(student[1:2], teacher[1:2])
    torch.testing.assert_close(feature_mse(student, teacher)[1:2], alone)


def test_the_gradient_of_a_feature_loss_agrees_with_finite_differences():
    student, teacher = (torch.from_numpy(x) for x in pair((2, 3, 1, 2, 2)))

    assert torch.autograd.gradcheck(
        lambda s: feature_mse(s, teacher), (student.requires_grad_(),)
    )


def test_unequal_features_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r'\(1, 2, 1, 1, 1\).*\(1, 3, 1, 1, 1\)'):
        feature_mse(torch.zeros(1, 2, 1, 1, 1), torch.zeros(1, 3, 1, 1, 1))
