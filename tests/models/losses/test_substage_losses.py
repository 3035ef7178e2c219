from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from mmvkd.models.losses import cka_distance, gram_distance, pearson_distance


def features(*channels, seed=0, clips=5, size=(2, 3, 2)):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((clips, c, *size)) for c in channels]


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_pearson_is_the_mean_over_channels_of_that_of_scipy():
    x, y = features(4, 4)
    expected = [
        np.mean([1 - pearsonr(x[n, c].ravel(), y[n, c].ravel())[0] for c in range(4)])
        for n in range(5)
    ]

    assert pearson_distance(*tensors(x, y)).tolist() == pytest.approx(expected)


def test_pearson_ignores_the_scale_and_shift_of_each_channel_of_each_clip():
    x, y = tensors(*features(4, 4))
    slope, offset = torch.rand(2, 5, 4, 1, 1, 1, dtype=torch.float64) + 0.5

    torch.testing.assert_close(
        pearson_distance(slope * x + offset, y),
        pearson_distance(x, y),
        rtol=1e-6,
        atol=1e-6,
    )


def test_a_constant_channel_of_the_teacher_has_no_gradient():
    x, y = tensors(*features(3, 3))
    y[:, 1] = 0.7
    x.requires_grad_()

    pearson_distance(x, y).sum().backward()

    assert x.grad[:, 1].abs().max() < 1e-8
    assert x.grad[:, 0].abs().max() > 1e-3


def cosine(a, b):
    """Of two matrices, by loops."""
    pairs = [pair for rows in zip(a, b) for pair in zip(*rows)]
    norms = [math.sqrt(sum(pair[side] ** 2 for pair in pairs)) for side in (0, 1)]
    return sum(p * q for p, q in pairs) / (norms[0] * norms[1])


def gram(rows):
    return [[float(np.dot(a, b)) for b in rows] for a in rows]


def test_cka_is_the_cosine_of_the_centered_gram_matrices():
    x, y = features(3, 7)
    center = np.eye(5) - 1 / 5
    grams = [center @ np.array(gram(z.reshape(5, -1))) @ center for z in (x, y)]

    assert cka_distance(*tensors(x, y)).item() == pytest.approx(1 - cosine(*grams))


def test_cka_in_the_space_of_features_is_the_same():
    # Kornblith's formula for linear kernels
    x, y = (z.reshape(5, -1) - z.reshape(5, -1).mean(0) for z in features(3, 7))
    norm = np.linalg.norm
    cka = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))

    assert cka_distance(*tensors(x, y)).item() == pytest.approx(1 - cka)


def test_gram_is_the_cosine_of_the_inner_products_of_all_pairs_of_positions():
    x, y = features(3, 7)
    expected = [
        1 - cosine(*(gram(z[n].reshape(len(z[n]), -1).T) for z in (x, y)))
        for n in range(5)
    ]

    assert gram_distance(*tensors(x, y)).tolist() == pytest.approx(expected)


def rotation(size, seed=3):
    matrix = np.random.default_rng(seed).standard_normal((size, size))
    return torch.from_numpy(np.linalg.qr(matrix)[0])


@pytest.mark.parametrize('distance', [cka_distance, gram_distance])
def test_without_a_connector_rotated_and_scaled_channels_are_the_same(distance):
    x, y = tensors(*features(4, 6))
    turned = 3 * torch.einsum('nc...,cd->nd...', x, rotation(4))

    torch.testing.assert_close(distance(turned, y), distance(x, y))


def test_cka_ignores_shifts_and_gram_does_not():
    x, y = tensors(*features(4, 6))

    torch.testing.assert_close(cka_distance(x + 2, y), cka_distance(x, y))
    assert not torch.allclose(gram_distance(x + 2, y), gram_distance(x, y))


def test_cka_sees_the_order_of_the_clips_and_gram_that_of_the_frames():
    x, y = tensors(*features(4, 6))

    assert cka_distance(x.flip(0), y) != cka_distance(x, y)
    torch.testing.assert_close(cka_distance(x.flip(0), y.flip(0)), cka_distance(x, y))
    assert not torch.allclose(gram_distance(x.flip(2), y), gram_distance(x, y))


@pytest.mark.parametrize('clips', [1, 2])
def test_cka_of_one_or_two_clips_has_nothing_to_compare(clips):
    x, y = tensors(*features(4, 6, clips=clips))
    x.requires_grad_()

    loss = cka_distance(x, y)
    loss.backward()

    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert x.grad.abs().max() < 1e-9


@pytest.mark.parametrize('distance', [pearson_distance, cka_distance, gram_distance])
def test_the_gradient_agrees_with_finite_differences(distance):
    x, y = tensors(*features(2, 2, clips=4, size=(2, 1, 2)))

    assert torch.autograd.gradcheck(distance, (x.requires_grad_(), y.requires_grad_()))


@pytest.mark.parametrize(
    ('distance', 'other', 'match'),
    [
        (pearson_distance, (2, 4, 1, 2, 2), r'\(2, 3, 1, 2, 2\).*\(2, 4, 1, 2, 2\)'),
        (gram_distance, (2, 3, 2, 2, 2), r'\(2, 1, 1, 2, 2\).*\(2, 1, 2, 2, 2\)'),
        (cka_distance, (3, 3, 1, 2, 2), 'equally many clips'),
    ],
)
def test_shapes_that_do_not_fit_are_refused(distance, other, match):
    with pytest.raises(ValueError, match=match):
        distance(torch.zeros(2, 3, 1, 2, 2), torch.zeros(other))


@pytest.mark.parametrize('distance', [pearson_distance, gram_distance])
def test_one_position_has_nothing_to_correlate_with(distance):
    average = torch.rand(2, 3, 1, 1, 1)

    with pytest.raises(ValueError, match='one position'):
        distance(average, 2 * average)
