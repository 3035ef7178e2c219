from __future__ import annotations

import math

import pytest
import torch

from mmvkd.models.losses import dkd_loss, kd_loss, zscore, zscore_kd_loss

SHAPES = [(1, 2), (4, 3), (7, 101)]


def pair(shape, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return logits[0], logits[1]


def softmax_by_loop(row, temperature):
    exps = [math.exp(z / temperature) for z in row]
    return [e / sum(exps) for e in exps]


def kl_by_loop(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
@pytest.mark.parametrize('shape', SHAPES)
def test_kd_equals_the_scaled_divergence_summed_by_hand(shape, temperature):
    student, teacher = pair(shape)
    expected = [
        temperature**2
        * kl_by_loop(
            softmax_by_loop(t, temperature),
            softmax_by_loop(s, temperature),
        )
        for s, t in zip(student.tolist(), teacher.tolist())
    ]

    loss = kd_loss(student, teacher, temperature)

    assert loss.tolist() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_kd_ignores_a_constant_added_to_the_logits_of_a_clip():
    student, teacher = pair((5, 9))
    shift = torch.arange(5.0, dtype=torch.float64)[:, None]

    moved = kd_loss(student + shift, teacher - 2 * shift)

    torch.testing.assert_close(moved, kd_loss(student, teacher))


def test_kd_sees_the_scale_of_the_logits():
    student, teacher = pair((5, 9))

    assert (kd_loss(2 * teacher, teacher) > 1e-3).all()
    assert not torch.allclose(kd_loss(2 * student, teacher), kd_loss(student, teacher))


@pytest.mark.parametrize('shift', [0.0, 7.0])
@pytest.mark.parametrize('scale', [0.5, 5.0])
def test_zscored_kd_ignores_shift_and_positive_scale_of_the_logits(scale, shift):
    student, teacher = pair((5, 9))

    moved = zscore_kd_loss(scale * student + shift, teacher / scale - shift)

    torch.testing.assert_close(
        moved, zscore_kd_loss(student, teacher), rtol=1e-4, atol=1e-6
    )
    same = zscore_kd_loss(scale * teacher + shift, teacher)
    assert same.max() < 1e-8


def test_zscored_logits_have_mean_zero_and_variance_one():
    student, _ = pair((5, 9))

    z = zscore(student)

    torch.testing.assert_close(z.mean(1), torch.zeros(5).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        z.var(1, unbiased=False), torch.ones(5).double(), atol=1e-5, rtol=0
    )


def test_zscored_kd_is_kd_of_zscored_logits():
    student, teacher = pair((5, 9))
    z_student = (student - student.mean(1, keepdim=True)) / student.std(
        1, keepdim=True, unbiased=False
    )
    z_teacher = (teacher - teacher.mean(1, keepdim=True)) / teacher.std(
        1, keepdim=True, unbiased=False
    )

    torch.testing.assert_close(
        zscore_kd_loss(student, teacher, 2.0),
        kd_loss(z_student, z_teacher, 2.0),
        rtol=1e-5,
        atol=1e-8,
    )


def dkd_by_loop(student, teacher, label, alpha, beta, temperature):
    q = softmax_by_loop(student, temperature)
    p = softmax_by_loop(teacher, temperature)
    target = kl_by_loop([p[label], 1 - p[label]], [q[label], 1 - q[label]])
    others = [m for m in range(len(p)) if m != label]
    non_target = kl_by_loop(
        [p[m] / (1 - p[label]) for m in others],
        [q[m] / (1 - q[label]) for m in others],
    )
    return temperature**2 * (alpha * target + beta * non_target)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('seed', [0, 1])
def test_dkd_equals_its_two_terms_summed_by_hand(shape, seed):
    student, teacher = pair(shape, seed)
    label = (torch.arange(shape[0]) * 5 + seed) % shape[1]
    expected = [
        dkd_by_loop(s, t, y, 1.5, 6.0, 3.0)
        for s, t, y in zip(student.tolist(), teacher.tolist(), label.tolist())
    ]

    loss = dkd_loss(student, teacher, label, alpha=1.5, beta=6.0, temperature=3.0)

    assert loss.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('shape', SHAPES)
def test_dkd_terms_add_up_to_kd_when_weighted_by_the_teachers_doubt(shape):
    student, teacher = pair(shape)
    label = torch.arange(shape[0]) % shape[1]
    p = (teacher / 4.0).softmax(1).gather(1, label[:, None])[:, 0]

    target = dkd_loss(student, teacher, label, alpha=1, beta=0, temperature=4.0)
    non_target = dkd_loss(student, teacher, label, alpha=0, beta=1, temperature=4.0)

    torch.testing.assert_close(
        target + (1 - p) * non_target, kd_loss(student, teacher, 4.0)
    )


def test_dkd_gives_clips_without_a_label_neither_loss_nor_gradient():
    student, teacher = pair((4, 6))
    student.requires_grad_()
    label = torch.tensor([-1, 2, -1, 0])

    loss = dkd_loss(student, teacher, label)
    loss.sum().backward()

    assert (loss == 0).tolist() == [True, False, True, False]
    assert (student.grad == 0).all(dim=1).tolist() == [True, False, True, False]
    alone = dkd_loss(student[[1, 3]], teacher[[1, 3]], label[[1, 3]])
    torch.testing.assert_close(loss[[1, 3]], alone)


def test_dkd_keeps_what_it_can_tell_when_the_teacher_is_certain_of_the_label():
    teacher = torch.tensor([[500.0, 1.0, 2.0]])
    student = torch.tensor([[0.0, 2.0, 1.0]], requires_grad=True)

    loss = dkd_loss(student, teacher, torch.tensor([0]), temperature=1.0)
    loss.sum().backward()

    others = kl_by_loop(softmax_by_loop([1, 2], 1), softmax_by_loop([2, 1], 1))
    target = math.log(sum(math.exp(z) for z in (0, 2, 1)))
    assert loss.item() == pytest.approx(target + 8 * others, rel=1e-5)
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('name', ['kd', 'zscore', 'dkd'])
def test_the_gradient_of_a_logit_loss_agrees_with_finite_differences(name):
    student, teacher = pair((3, 5), scale=1.0)
    label = torch.tensor([0, -1, 4])
    function = {
        'kd': lambda s, t: kd_loss(s, t, 2.0),
        'zscore': zscore_kd_loss,
        'dkd': lambda s, t: dkd_loss(s, t, label),
    }[name]

    assert torch.autograd.gradcheck(
        function, (student.requires_grad_(), teacher.requires_grad_())
    )


@pytest.mark.parametrize('function', [kd_loss, zscore_kd_loss])
def test_unequal_class_counts_are_refused_with_both_shapes(function):
    with pytest.raises(ValueError, match=r'\(2, 3\).*\(2, 4\)'):
        function(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize('function', [kd_loss, zscore_kd_loss])
def test_a_temperature_of_zero_is_refused(function):
    with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
        function(torch.zeros(2, 3), torch.zeros(2, 3), temperature=0)


def test_dkd_refuses_a_single_class_and_labels_that_do_not_fit():
    with pytest.raises(ValueError, match='2 classes or more, got 1'):
        dkd_loss(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2).long())
    with pytest.raises(ValueError, match=r'label \(3,\).*2 clips'):
        dkd_loss(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(3).long())
