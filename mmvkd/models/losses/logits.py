"""Losses that compare the logits of student and teacher clip by clip."""

from __future__ import annotations

import torch
from torch import Tensor

from .numerics import check_positive, check_same_shape, full_precision, nonnegative


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of two softmaxes, teacher first, per row.

    Includes the two sums of probabilities, which cancel: with them, each term is
    flat where the distributions meet, so the gradient there is exactly 0.
    """
    log_q = student.log_softmax(dim=-1)
    log_p = teacher.log_softmax(dim=-1)
    p = log_p.exp()
    return nonnegative((log_q.exp() - p - p * (log_q - log_p)).sum(dim=-1))


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    r"""Compare softened predictions (Hinton et al., arXiv 1503.02531).

    .. math:: L_n = \tau^2\,\mathrm{KL}(\mathrm{softmax}(z^T_n/\tau)\,\|\,
              \mathrm{softmax}(z^S_n/\tau))

    Unchanged when a constant is added to all logits of a clip. The caller stops
    the teacher's gradient.

    Args:
        student: Logits :math:`z^S`, ``(N, M)``.
        teacher: Logits :math:`z^T`, ``(N, M)``.
        temperature: :math:`\tau`, above 0.

    Returns:
        Loss of each clip, ``(N,)``, in float32 at least; the caller takes the
        mean over the global batch.

    Raises:
        ValueError: if the shapes differ or the temperature is not above 0.
    """
    check_same_shape(student, teacher, 'logits', ndim=2)
    check_positive(temperature, 'temperature')
    student, teacher = full_precision(student), full_precision(teacher)
    return temperature**2 * _divergence(student / temperature, teacher / temperature)


def zscore(logits: Tensor, eps: float = 1e-6) -> Tensor:
    r"""Standardize the logits of each clip (arXiv 2403.01427).

    .. math:: \hat z_n = (z_n - \mathrm{mean}\,z_n) /
              \sqrt{\mathrm{var}\,z_n + \epsilon}

    with the variance over the M classes, as in the paper; its authors' code divides by
    M - 1 in it, so its loss is smaller where classes are few. The epsilon inside the
    root is ours: it keeps the gradient finite at constant logits, and makes the
    invariance to shifts and positive scales hold to :math:`\epsilon/\mathrm{var}`.

    Args:
        logits: Logits, ``(N, M)``.
        eps: :math:`\epsilon`, in squared logits.

    Returns:
        Standardized logits, ``(N, M)``, in float32 at least.
    """
    logits = full_precision(logits)
    centered = logits - logits.mean(dim=-1, keepdim=True)
    variance = centered.square().mean(dim=-1, keepdim=True)
    return centered / (variance + eps).sqrt()


def zscore_kd_loss(
    student: Tensor, teacher: Tensor, temperature: float = 2.0
) -> Tensor:
    r"""Compare softened predictions of standardized logits (arXiv 2403.01427).

    .. math:: L_n = \tau^2\,\mathrm{KL}(\mathrm{softmax}(\hat z^T_n/\tau)\,\|\,
              \mathrm{softmax}(\hat z^S_n/\tau))

    with :math:`\hat z` from :func:`zscore`. Unchanged when the logits of a clip
    are shifted or multiplied by a positive number.

    Args:
        student: Logits, ``(N, M)``.
        teacher: Logits, ``(N, M)``.
        temperature: The base temperature :math:`\tau`, above 0.

    Returns:
        Loss of each clip, ``(N,)``; the caller takes the mean over the global
        batch.

    Raises:
        ValueError: if the shapes differ or the temperature is not above 0.
    """
    check_same_shape(student, teacher, 'logits', ndim=2)
    return kd_loss(zscore(student), zscore(teacher), temperature)


def _split_at_label(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of (label, all others merged), and of the others alone."""
    others = torch.arange(logits.shape[-1] - 1, device=logits.device)
    others = others + (others >= label[:, None])
    # (N, M - 1): every class but the label's
    rest = logits.gather(1, others)
    target = logits.gather(1, label[:, None])
    # (N, 2)
    binary = torch.cat([target, rest.logsumexp(dim=-1, keepdim=True)], dim=-1)
    return binary, rest


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    label: Tensor,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    r"""Weigh target and non-target knowledge apart (arXiv 2203.08679).

    .. math:: L_n = \tau^2 (\alpha\,\mathrm{TCKD}_n + \beta\,\mathrm{NCKD}_n)

    TCKD is the divergence of (label, not label), NCKD that of the softmax over
    the M - 1 other classes. With :math:`p_n` the teacher's probability of the
    label, :math:`\alpha=1` and :math:`\beta=1-p_n` give :func:`kd_loss`. No
    probability is formed before its logarithm, so full certainty is safe.

    Args:
        student: Logits, ``(N, M)`` with M of 2 or more.
        teacher: Logits, ``(N, M)``.
        label: Class of each clip, integers ``(N,)``; below 0 a clip has no label,
            and its loss and gradient are 0.
        alpha: Weight :math:`\alpha` of TCKD.
        beta: Weight :math:`\beta` of NCKD.
        temperature: :math:`\tau`, above 0.

    Returns:
        Loss of each clip, ``(N,)``; the caller takes the mean over the labeled
        clips of the global batch.

    Raises:
        ValueError: if shapes do not fit or the temperature is not above 0.
    """
    check_same_shape(student, teacher, 'logits', ndim=2)
    check_positive(temperature, 'temperature')
    if student.shape[1] < 2:
        raise ValueError(f'dkd_loss needs 2 classes or more, got {student.shape[1]}')
    if label.shape != student.shape[:1]:
        raise ValueError(
            f'label {tuple(label.shape)} must hold one class for each of the '
            f'{student.shape[0]} clips'
        )
    student, teacher = full_precision(student), full_precision(teacher)
    known = label.clamp_min(0)
    binary_s, rest_s = _split_at_label(student / temperature, known)
    binary_t, rest_t = _split_at_label(teacher / temperature, known)
    target = _divergence(binary_s, binary_t)
    non_target = _divergence(rest_s, rest_t)
    loss = temperature**2 * (alpha * target + beta * non_target)
    return torch.where(label >= 0, loss, torch.zeros_like(loss))
