"""Laws that every loss between one student and one teacher must hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from transport_toys import binary_cost

from mmvkd.models import losses
from mmvkd.models.losses import (
    bilinear_sketch,
    binary_transport,
    channel_moments,
    cka_distance,
    dist_inter,
    dist_intra,
    dkd_loss,
    draw_sketch,
    feature_mse,
    frequency_energy,
    gaussian_distance,
    gram_distance,
    jensen_shannon,
    kd_loss,
    kernel_spectrum,
    median_bandwidth,
    mmd,
    paired_mmd,
    pearson_distance,
    prototype_cost,
    quantile_distance,
    quantiles,
    signed_root,
    sinkhorn,
    sinkhorn_barycenter,
    spectrum_amplitude,
    spectrum_coherence,
    spectrum_energy,
    zscore_kd_loss,
)

CLIPS, CLASSES = 6, 12


def as_feature(x):
    """View (6, 12) numbers as a feature (6, 3, 1, 2, 2)."""
    return x.reshape(CLIPS, 3, 1, 2, 2)


def as_motion(x):
    """View (6, 12) numbers as a feature (6, 3, 4, 1, 1)."""
    return x.reshape(CLIPS, 3, 4, 1, 1)


def of_kernels(compare, describe):
    """A loss of (6, 12) numbers as eight 3×3 kernels."""

    def loss(student, teacher):
        spectra = (kernel_spectrum(x.reshape(8, 3, 3)) for x in (student, teacher))
        return compare(*map(describe, spectra))

    return loss


def labels():
    return torch.arange(CLIPS) % CLASSES


def prototypes(metric):
    weight = torch.randn(CLASSES, 7, generator=torch.Generator().manual_seed(5))
    return prototype_cost([weight], metric).float()


def sinkhorn_on(make_cost):
    def loss(student, teacher):
        p, q = teacher.float().softmax(-1), student.float().softmax(-1)
        return sinkhorn(p, q, make_cost()).divergence

    return loss


def barycenter_of_one(student, teacher):
    p, q = teacher.float().softmax(-1), student.float().softmax(-1)
    cost = prototypes('euclidean')
    center = sinkhorn_barycenter(p[:, None], torch.ones(CLIPS, 1), cost).rows
    return sinkhorn(center, q, cost).divergence


def pooled(x):
    """Compact bilinear pooling of a feature with itself."""
    generator = torch.Generator().manual_seed(5)
    pair = [draw_sketch(3, 16, generator) for _ in range(2)]
    maps = as_feature(x).flatten(2)
    return signed_root(bilinear_sketch([maps, maps], pair, [(0, 1)], 16))[:, 0]


LOSSES = {
    'kd': kd_loss,
    'zscore kd': zscore_kd_loss,
    'dkd': lambda s, t: dkd_loss(s, t, labels()),
    'dist inter': dist_inter,
    'dist intra': dist_intra,
    'feature': lambda s, t: feature_mse(as_feature(s), as_feature(t)),
    'spectrum amplitude': lambda s, t: spectrum_amplitude(as_motion(s), as_motion(t)),
    'spectrum energy': lambda s, t: spectrum_energy(as_motion(s), as_motion(t)),
    'spectrum coherence': lambda s, t: spectrum_coherence(as_motion(s), as_motion(t)),
    'parameter energy': of_kernels(jensen_shannon, frequency_energy),
    'parameter quantile': of_kernels(quantile_distance, quantiles),
    'pearson': lambda s, t: pearson_distance(as_feature(s), as_feature(t)),
    'cka': cka_distance,
    'gram': lambda s, t: gram_distance(as_feature(s), as_feature(t)),
    'gaussian': lambda s, t: gaussian_distance(
        channel_moments(as_feature(s)), channel_moments(as_feature(t))
    ),
    'sinkhorn euclidean': sinkhorn_on(lambda: prototypes('euclidean')),
    'sinkhorn cosine': sinkhorn_on(lambda: prototypes('cosine')),
    'sinkhorn binary': sinkhorn_on(lambda: binary_cost(CLASSES)),
    'sinkhorn barycenter': barycenter_of_one,
    'mmd': lambda s, t: mmd(t, s),
    'paired mmd': lambda s, t: paired_mmd(t, s, median_bandwidth(t, s)),
    'mmd pooled': lambda s, t: mmd(pooled(t), pooled(s)),
    'binary transport': lambda s, t: binary_transport(
        t.float().softmax(-1), s.float().softmax(-1)
    ),
}


@pytest.fixture(params=LOSSES, ids=lambda name: name.replace(' ', '-'))
def loss(request):
    return LOSSES[request.param]


def random_logits(seed, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(CLIPS, CLASSES, generator=generator)


@pytest.mark.parametrize('scale', [0.01, 1.0, 30.0])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_student_equal_to_its_teacher_has_loss_zero_and_gradient_exactly_zero(
    loss, scale, dtype
):
    teacher = random_logits(0, scale).to(dtype)
    student = teacher.clone().requires_grad_()

    value = loss(student, teacher)
    value.sum().backward()

    assert value.abs().max() < 1e-5
    assert student.grad.count_nonzero() == 0


@pytest.mark.parametrize('distance', [1e-5, 1e-3, 0.1, 3.0])
@pytest.mark.parametrize('seed', [0, 1])
def test_no_loss_is_ever_negative(loss, seed, distance):
    teacher = random_logits(seed)
    student = teacher + distance * random_logits(seed + 10)

    assert (loss(student, teacher) >= 0).all()


def test_a_student_unlike_its_teacher_has_a_loss_and_a_gradient_for_each_clip(loss):
    student = random_logits(1).requires_grad_()

    value = loss(student, random_logits(2))
    value.sum().backward()

    assert (value > 0).all()
    assert (student.grad.abs().amax(dim=1) > 1e-5).all()


@pytest.mark.parametrize('teacher_scale', [0.0, 2.0, 100.0])
def test_logits_and_features_of_zero_have_a_finite_gradient(loss, teacher_scale):
    student = torch.zeros(CLIPS, CLASSES, requires_grad=True)

    value = loss(student, random_logits(3, teacher_scale))
    value.sum().backward()

    assert value.isfinite().all()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('scale', [100.0, 1000.0])
def test_certain_predictions_have_a_finite_loss_and_gradient(loss, scale):
    student = random_logits(4, scale).requires_grad_()

    value = loss(student, random_logits(5, scale))
    value.sum().backward()

    assert value.isfinite().all()
    assert student.grad.isfinite().all()


def test_a_loss_under_bfloat16_autocast_equals_the_float32_one_of_the_same_numbers(
    loss,
):
    student = random_logits(6).bfloat16().requires_grad_()
    teacher = random_logits(7).bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(student, teacher)
    value.sum().backward()
    plain = student.detach().float().requires_grad_()
    expected = loss(plain, teacher.float())
    expected.sum().backward()

    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    # rounded to bfloat16 on its way back, at each parallel path once
    torch.testing.assert_close(student.grad.float(), plain.grad, rtol=2e-2, atol=1e-4)


def test_the_losses_import_torch_and_a_few_standard_modules_alone():
    allowed = {'__future__', 'collections', 'functools', 'torch', 'typing'}
    for file in Path(losses.__file__).parent.glob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f'{file.name} imports from a parent package'
                names = [] if node.level else [node.module]
            else:
                continue
            assert {name.split('.')[0] for name in names} <= allowed, file.name
