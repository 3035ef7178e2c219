from __future__ import annotations

import numpy as np
import pytest
import torch

from mmvkd.models.losses import (
    Sketch,
    bilinear,
    bilinear_sketch,
    count_sketch,
    draw_sketch,
    signed_root,
    unit_length,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def feature(clips=3, channels=5, positions=4, seed=0):
    shape = (clips, channels, positions)
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def sketches(dim, *channels, seed=0):
    generator = seeded(seed)
    return [draw_sketch(c, dim, generator) for c in channels]


def by_loop(x, y, first, second, dim):
    """Sketch of the sum of outer products, entry by entry."""
    total = np.zeros((len(x), dim))
    for n in range(len(x)):
        for p in range(x.shape[2]):
            for i in range(x.shape[1]):
                for j in range(y.shape[1]):
                    place = int(first.place[i] + second.place[j]) % dim
                    sign = float(first.sign[i] * second.sign[j])
                    total[n, place] += sign * float(x[n, i, p] * y[n, j, p])
    return torch.from_numpy(total)


@pytest.mark.parametrize('dim', [1, 8, 11])
def test_a_pair_is_the_count_sketch_of_its_outer_products(dim):
    x, y = feature(channels=5), feature(channels=3, seed=1)
    pair = sketches(dim, 5, 3)

    found = bilinear_sketch([x, y], pair, [(0, 1)], dim)

    torch.testing.assert_close(found[:, 0], by_loop(x, y, *pair, dim))


def test_one_feature_twice_is_the_polynomial_count_sketch_of_scikit_learn():
    approximation = pytest.importorskip('sklearn.kernel_approximation')
    x = feature(clips=6, channels=7, positions=1)
    theirs = approximation.PolynomialCountSketch(
        degree=2, n_components=16, random_state=0
    )
    expected = theirs.fit(x[..., 0].numpy()).transform(x[..., 0].numpy())
    pair = [
        Sketch(torch.from_numpy(index).long(), torch.from_numpy(sign).double())
        for index, sign in zip(theirs.indexHash_, theirs.bitHash_)
    ]

    found = bilinear_sketch([x, x], pair, [(0, 1)], 16)

    torch.testing.assert_close(found[:, 0], torch.from_numpy(expected))


def test_several_pairs_at_once_are_each_pair_alone():
    features = [feature(channels=c, seed=c) for c in (5, 3, 4)]
    drawn = sketches(8, 5, 3, 4)
    pairs = [(0, 1), (0, 2), (1, 2)]

    together = bilinear_sketch(features, drawn, pairs, 8)

    assert together.shape == (3, 3, 8)
    for e, (i, j) in enumerate(pairs):
        alone = bilinear_sketch(
            [features[i], features[j]], [drawn[i], drawn[j]], [(0, 1)], 8
        )
        torch.testing.assert_close(together[:, e], alone[:, 0])


@pytest.mark.parametrize('chunk', [1, 40, 10**6])
def test_positions_are_taken_a_few_at_a_time_without_a_change(monkeypatch, chunk):
    x, pair = feature(), sketches(8, 5, 5)
    expected = bilinear_sketch([x, x], pair, [(0, 1)], 8)
    monkeypatch.setattr(bilinear, 'CHUNK_ENTRIES', chunk)

    found = bilinear_sketch([x, x], pair, [(0, 1)], 8)

    torch.testing.assert_close(found, expected)


def test_inner_products_are_on_average_those_of_the_outer_products():
    x, y = feature(clips=2), feature(clips=2, channels=3, seed=1)
    outer = torch.einsum('ncp,ndp->ncd', x, y)
    exact = (outer[0] * outer[1]).sum()
    found = []
    for seed in range(400):
        one, two = bilinear_sketch([x, y], sketches(32, 5, 3, seed=seed), [(0, 1)], 32)[
            :, 0
        ]
        found.append(float(one @ two))

    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(float(exact), abs=4 * error)
    assert error < 0.1 * float(outer[0].norm() * outer[1].norm())


def test_the_order_of_positions_does_not_matter_and_that_of_channels_does():
    x, pair = feature(), sketches(64, 5, 5)
    plain = bilinear_sketch([x, x], pair, [(0, 1)], 64)

    moved = x[:, :, [2, 0, 3, 1]]
    torch.testing.assert_close(
        bilinear_sketch([moved, moved], pair, [(0, 1)], 64), plain
    )
    apart = bilinear_sketch([x, moved], pair, [(0, 1)], 64)
    assert not torch.allclose(apart, plain)
    named = x[:, [1, 2, 3, 4, 0]]
    assert not torch.allclose(
        bilinear_sketch([named, named], pair, [(0, 1)], 64), plain
    )


def test_a_seed_draws_the_same_sketch_again_and_uses_all_places():
    first, again = (draw_sketch(4000, 16, seeded(3)) for _ in range(2))

    assert torch.equal(first.place, again.place)
    assert torch.equal(first.sign, again.sign)
    assert not torch.equal(first.place, draw_sketch(4000, 16, seeded(4)).place)
    assert first.place.bincount(minlength=16).min() > 150
    assert set(first.sign.tolist()) == {-1.0, 1.0}
    assert abs(float(first.sign.mean())) < 0.1


def test_channels_that_share_a_place_add_up_with_their_signs():
    sketch = Sketch(torch.tensor([1, 0, 1]), torch.tensor([1.0, -1.0, -1.0]))
    x = torch.tensor([[[3.0], [5.0], [7.0]]])

    assert count_sketch(x, sketch, 3).tolist() == [[[-5.0], [-4.0], [0.0]]]


def test_vectors_have_length_one_and_keep_signs_whatever_the_scale():
    x = torch.randn(4, 9, generator=seeded(0), dtype=torch.float64)

    r = signed_root(x)

    torch.testing.assert_close(r.norm(dim=-1), torch.ones(4, dtype=torch.float64))
    assert torch.equal(r.sign(), x.sign())
    torch.testing.assert_close(signed_root(1000 * x), r)
    root = x.sign() * x.abs().sqrt()
    torch.testing.assert_close(r, root / root.norm(dim=-1, keepdim=True))


def test_pooling_agrees_with_finite_differences():
    x, y = feature(2, 3, 2).requires_grad_(), feature(2, 4, 2, 1).requires_grad_()
    pair = sketches(5, 3, 4)

    assert torch.autograd.gradcheck(
        lambda a, b: signed_root(bilinear_sketch([a, b], pair, [(0, 1)], 5)), (x, y)
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_features_of_zero_have_a_finite_gradient(dtype):
    x = torch.zeros(2, 3, 4, dtype=dtype, requires_grad=True)
    pair = sketches(8, 3, 3)

    pooled = signed_root(bilinear_sketch([x, x], pair, [(0, 1)], 8))
    (pooled.sum() + unit_length(x).sum()).backward()

    assert pooled.count_nonzero() == 0
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('scale', [1e-3, 1.0, 100.0])
def test_half_precision_is_pooled_in_float32_also_under_autocast(scale):
    x, pair = (scale * feature(channels=6)).bfloat16(), sketches(7, 6, 6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = signed_root(bilinear_sketch([x, x], pair, [(0, 1)], 7))

    expected = signed_root(bilinear_sketch([x.float()] * 2, pair, [(0, 1)], 7))
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(found, expected)


def test_features_of_other_positions_are_refused():
    with pytest.raises(ValueError, match=r'\(3, 5, 4\), \(3, 5, 2\)'):
        bilinear_sketch(
            [feature(), feature(positions=2)], sketches(8, 5, 5), [(0, 1)], 8
        )
    with pytest.raises(ValueError, match='dim must be above 0, got 0'):
        draw_sketch(3, 0)
