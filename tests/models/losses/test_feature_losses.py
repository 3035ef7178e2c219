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
def test_the_plain_feature_loss_is_the_mean_squared_difference_of_a_clip(shape):
    student, teacher = pair(shape)
    expected = [np.mean((s - t) ** 2) for s, t in zip(student, teacher)]

    loss = feature_mse(torch.from_numpy(student), torch.from_numpy(teacher))

    assert loss.tolist() == pytest.approx(expected)


def test_the_standardized_feature_loss_equals_two_minus_twice_the_correlation():
    student, teacher = pair((3, 4, 2, 3, 5))
    expected = [
        np.mean(
            [
                2 - 2 * np.corrcoef(s[c].ravel(), t[c].ravel())[0, 1]
                for c in range(len(s))
            ]
        )
        for s, t in zip(student, teacher)
    ]

    loss = feature_mse(
        torch.from_numpy(student), torch.from_numpy(teacher), normalize='standardize'
    )

    assert loss.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_l2_feature_loss_equals_two_minus_twice_the_mean_cosine():
    student, teacher = pair((3, 4, 2, 3, 5))

    def cosine(s, t):
        return s @ t / np.linalg.norm(s) / np.linalg.norm(t)

    expected = [
        np.mean(
            [
                2 - 2 * cosine(s[:, t, h, w], x[:, t, h, w])
                for t in range(2)
                for h in range(3)
                for w in range(5)
            ]
        )
        for s, x in zip(student, teacher)
    ]

    loss = feature_mse(
        torch.from_numpy(student), torch.from_numpy(teacher), normalize='l2'
    )

    assert loss.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ('normalize', 'shape'),
    [('standardize', (1, 4, 1, 1, 1)), ('l2', (1, 1, 2, 3, 5))],
)
def test_a_normalized_feature_loss_ignores_the_scales_it_removes(normalize, shape):
    student, teacher = (torch.from_numpy(x) for x in pair((3, 4, 2, 3, 5)))
    scale = torch.rand(shape, dtype=torch.float64) + 0.5

    moved = feature_mse(scale * student, teacher, normalize=normalize)

    torch.testing.assert_close(
        moved,
        feature_mse(student, teacher, normalize=normalize),
        rtol=1e-4,
        atol=1e-4,
    )
    assert not torch.allclose(
        feature_mse(scale * student, teacher), feature_mse(student, teacher)
    )


def test_a_feature_loss_of_a_clip_does_not_depend_on_the_batch():
    student, teacher = (torch.from_numpy(x) for x in pair((3, 4, 2, 3, 5)))
    for normalize in (None, 'standardize', 'l2'):
        loss = feature_mse(student, teacher, normalize=normalize)
        alone = feature_mse(student[1:2], teacher[1:2], normalize=normalize)

        torch.testing.assert_close(loss[1:2], alone)


@pytest.mark.parametrize('normalize', [None, 'standardize', 'l2'])
def test_the_gradient_of_a_feature_loss_agrees_with_finite_differences(normalize):
    student, teacher = (torch.from_numpy(x) for x in pair((2, 3, 1, 2, 2)))

    assert torch.autograd.gradcheck(
        lambda s: feature_mse(s, teacher, normalize=normalize),
        (student.requires_grad_(),),
    )


def test_unequal_features_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r'\(1, 2, 1, 1, 1\).*\(1, 3, 1, 1, 1\)'):
        feature_mse(torch.zeros(1, 2, 1, 1, 1), torch.zeros(1, 3, 1, 1, 1))


def test_an_unknown_normalization_is_refused_with_the_known_ones():
    x = torch.zeros(1, 2, 1, 2, 2)
    with pytest.raises(
        ValueError, match=r"'channel' is unknown; known: None, standardize, l2"
    ):
        feature_mse(x, x, normalize='channel')


def test_standardizing_a_pooled_feature_is_refused_because_nothing_is_left():
    x = torch.zeros(1, 2, 1, 1, 1)
    with pytest.raises(ValueError, match='2 positions or more'):
        feature_mse(x, x, normalize='standardize')
