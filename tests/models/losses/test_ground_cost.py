from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from mmvkd.models.losses import prototype_cost


def classifier(classes=9, channels=5, seed=0):
    return np.random.default_rng(seed).standard_normal((classes, channels))


@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
@pytest.mark.parametrize('teachers', [1, 3])
def test_the_prototype_cost_equals_scipys_distances_averaged_and_scaled(
    metric, teachers
):
    weights = [classifier(channels=5 + k, seed=k) for k in range(teachers)]
    expected = np.mean(
        [
            cdist(
                w / np.linalg.norm(w, axis=1, keepdims=True),
                w / np.linalg.norm(w, axis=1, keepdims=True),
                metric,
            )
            for w in weights
        ],
        axis=0,
    )

    cost = prototype_cost([torch.from_numpy(w) for w in weights], metric)

    np.testing.assert_allclose(cost.numpy(), expected / expected.max(), atol=1e-6)
    assert torch.equal(cost, cost.T)
    assert cost.diagonal().count_nonzero() == 0
    assert cost.max() == 1


def test_the_prototype_cost_ignores_the_length_of_rows():
    weight = torch.from_numpy(classifier())
    stretched = weight * torch.arange(1.0, 10.0)[:, None]

    torch.testing.assert_close(prototype_cost([stretched]), prototype_cost([weight]))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
@pytest.mark.parametrize('metric', ['euclidean', 'cosine'])
def test_costs_of_any_classifier_are_conditionally_negative_definite(metric, dtype):
    weights = [torch.from_numpy(classifier(40, 3, seed)).to(dtype) for seed in (0, 1)]
    weights[0][3] = weights[0][7]

    # the largest eigenvalue on vectors of sum zero
    cost = prototype_cost(weights, metric)
    centered = cost - cost.mean(0) - cost.mean(1, keepdim=True) + cost.mean()
    assert torch.linalg.eigvalsh(centered)[-1] < 1e-6


@pytest.mark.parametrize(
    ('weights', 'metric', 'message'),
    [
        ([torch.ones(3, 2)], 'manhattan', "'manhattan' is unknown; known: euclid"),
        ([torch.ones(3, 2)], 'euclidean', 'all 3 class prototypes coincide'),
        ([torch.ones(3, 2, 1)], 'euclidean', r'got \(3, 2, 1\)'),
        ([torch.eye(3), torch.eye(4)], 'euclidean', r'got \[3, 4\]'),
        ([], 'euclidean', r'got \[\]'),
        (
            [torch.eye(3), torch.diag(torch.tensor([1.0, 0.0, 1.0]))],
            'euclidean',
            'row 1 of classifier weight 1 has norm 0',
        ),
        ([torch.full((2, 2), float('nan'))], 'cosine', 'row 0 .* norm nan'),
    ],
)
def test_classifiers_without_a_usable_cost_are_refused(weights, metric, message):
    with pytest.raises(ValueError, match=message):
        prototype_cost(weights, metric)
