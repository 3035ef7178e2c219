"""Sizes of features, also where only deterministic algorithms may be used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvkd.models.resizing import match_size, pooled, to_size


@pytest.fixture(params=[False, True], ids=['any', 'deterministic'])
def deterministic(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether torch refuses algorithms that are not."""
    torch.use_deterministic_algorithms(request.param)
    yield request.param
    torch.use_deterministic_algorithms(False)


def feature(*size: int) -> Tensor:
    made = torch.randn(2, 3, *size, dtype=torch.double, generator=torch.manual_seed(0))
    return made.requires_grad_()


def operations(tensor: Tensor) -> set[str]:
    """Names of the operations that the gradient of ``tensor`` goes through."""
    names, open_ = set(), [tensor.grad_fn]
    while open_:
        node = open_.pop()
        if node is not None:
            names.add(node.name())
            open_ += [before for before, _ in node.next_functions]
    return names


@pytest.mark.parametrize('size', [(4, 7, 5), (4, 3, 2), (2, 1, 1), (3, 5, 5)])
def test_pooling_is_that_of_torch(size: tuple, deterministic: bool) -> None:
    x = feature(4, 7, 5)
    got = pooled(x, size)
    want = F.adaptive_avg_pool3d(x, size)
    torch.testing.assert_close(got, want)
    (gradient,) = torch.autograd.grad(got.square().sum(), x)
    (true,) = torch.autograd.grad(want.square().sum(), x)
    torch.testing.assert_close(gradient, true)


def test_time_is_interpolated_and_space_pooled(deterministic: bool) -> None:
    student, teacher = feature(4, 7, 7), feature(6, 5, 9)
    own, other = match_size(student, teacher)
    pool = F.adaptive_avg_pool3d
    true = F.interpolate(pool(student, (4, 5, 7)).float(), (6, 5, 7), mode='trilinear')
    torch.testing.assert_close(own, true)
    torch.testing.assert_close(other, pool(teacher, (6, 5, 7)))


def test_a_mean_over_time_is_compared_with_a_mean_over_time(
    deterministic: bool,
) -> None:
    student, teacher = (feature(*x).float() for x in ((8, 4, 4), (1, 4, 4)))
    own, other = match_size(student, teacher)
    torch.testing.assert_close(own, student.mean(2, keepdim=True))
    torch.testing.assert_close(other, teacher)


def test_sizes_change_in_full_precision_under_autocast(deterministic: bool) -> None:
    x = 100 + 0.01 * feature(4, 6, 6).detach().float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = to_size(x, (6, 3, 3))
    torch.testing.assert_close(found, to_size(x, (6, 3, 3)), rtol=1e-7, atol=0)


def test_nothing_that_torch_refuses_on_a_gpu_has_a_gradient(
    deterministic: bool,
) -> None:
    found = operations(to_size(feature(4, 7, 3), (6, 5, 6)))
    refused = {'AdaptiveAvgPool3DBackward0', 'UpsampleTrilinear3DBackward0'}
    assert found & refused == (set() if deterministic else refused)
