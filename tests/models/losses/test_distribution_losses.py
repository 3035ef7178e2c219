from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

from mmvkd.models.losses import channel_moments, gaussian_distance


def feature(channels=3, seed=0, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    values = scale * rng.standard_normal((4, channels, 2, 3, 3)) + shift
    return torch.from_numpy(values)


def test_moments_are_those_of_numpy_over_clips_and_positions():
    x = feature(shift=2.0)

    mean, variance = channel_moments(x)

    np.testing.assert_allclose(mean, x.numpy().mean((0, 2, 3, 4)))
    np.testing.assert_allclose(variance, x.numpy().var((0, 2, 3, 4)))


def test_the_variance_keeps_its_digits_beside_a_large_mean():
    x = feature(shift=0.0)

    _, variance = channel_moments((x + 3000).float())

    np.testing.assert_allclose(variance, x.numpy().var((0, 2, 3, 4)), rtol=1e-3)


def test_the_distance_is_the_bures_wasserstein_distance_of_pot_over_the_variance():
    # equal variances of the teacher make the division a common factor
    mean = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    student = (mean + 0.5, torch.tensor([0.2, 1.0, 4.0], dtype=torch.float64))
    teacher = (mean, torch.full((3,), 2.0, dtype=torch.float64))
    square = (
        ot.gaussian.bures_wasserstein_distance(
            student[0], teacher[0], student[1].diag(), teacher[1].diag()
        )
        ** 2
    )

    found = gaussian_distance(student, teacher, eps=0.0)

    assert found.item() == pytest.approx(square.item() / 3 / 2.0, rel=1e-6)


def test_each_channel_is_divided_by_the_teachers_variance():
    student = (torch.tensor([1.0, 10.0]), torch.tensor([4.0, 400.0]))
    teacher = (torch.tensor([0.0, 0.0]), torch.tensor([1.0, 100.0]))

    # (1 + (2 − 1)²) / 1 in both channels
    assert gaussian_distance(student, teacher, eps=0.0).item() == pytest.approx(2.0)


@pytest.mark.parametrize('eps', [0.0, 1e-2])
def test_a_common_scale_and_shift_of_both_sides_changes_nothing(eps):
    x, y = feature(seed=1), feature(seed=2)
    plain = gaussian_distance(channel_moments(x), channel_moments(y), eps)
    both = [channel_moments(50 * z + 7) for z in (x, y)]

    torch.testing.assert_close(gaussian_distance(*both, eps), plain)


def test_it_does_not_see_where_and_in_which_clip_a_value_stands():
    x, y = feature(seed=1), feature(seed=2)
    moved = x.flip(0).flip(3).roll(1, dims=2)

    torch.testing.assert_close(
        gaussian_distance(channel_moments(moved), channel_moments(y)),
        gaussian_distance(channel_moments(x), channel_moments(y)),
    )


def test_a_channel_that_the_teacher_never_uses_does_not_outweigh_all_others():
    used = (torch.zeros(10), torch.ones(10))
    silent = (torch.zeros(10), torch.tensor([0.0] + [1.0] * 9))

    assert gaussian_distance(used, silent) < 10
    assert gaussian_distance(used, silent, eps=1e-6) > 1000


def test_the_gradient_agrees_with_finite_differences():
    def distance(x, y):
        return gaussian_distance(channel_moments(x), channel_moments(y))

    x, y = feature(seed=1)[:2, :, :1], feature(seed=2)[:2, :, :1]

    assert torch.autograd.gradcheck(distance, (x.requires_grad_(), y.requires_grad_()))


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match=r'\(3,\).*\(4,\)'):
        gaussian_distance(
            channel_moments(torch.zeros(1, 3, 1, 2, 2)),
            channel_moments(torch.zeros(1, 4, 1, 2, 2)),
        )
