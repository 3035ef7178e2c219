from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.fft
import torch

from mmvkd.models.losses import (
    band_weights,
    feature_mse,
    spectrum_amplitude,
    spectrum_coherence,
    spectrum_energy,
    temporal_spectrum,
)

LOSSES = [spectrum_amplitude, spectrum_energy, spectrum_coherence]
SHAPES = [(1, 1, 2, 1, 1), (3, 4, 5, 2, 3), (2, 3, 8, 1, 1), (2, 2, 7, 3, 1)]
TINY = 1e-7  # as good as no floor
every_loss = pytest.mark.parametrize('loss', LOSSES)
every_shape = pytest.mark.parametrize('shape', SHAPES)


def feature(shape=(3, 4, 8, 2, 3), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def two_sided(x):
    """Complex spectrum (T, ...) of a clip (C, T, H, W), all frequencies."""
    return np.moveaxis(scipy.fft.fft(np.asarray(x), axis=1, norm='ortho'), 1, 0)


def hellinger(p, q):
    return 1 - np.sum(np.sqrt(p / p.sum() * q / q.sum()))


# The spectrum itself


@every_shape
def test_the_spectrum_is_that_of_scipy_along_time(shape):
    x = feature(shape)

    expected = scipy.fft.rfft(x.numpy(), axis=2, norm='ortho')

    np.testing.assert_allclose(temporal_spectrum(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize('frames', [2, 3, 4, 7, 8])
def test_one_side_with_its_weights_has_the_energy_of_the_whole_motion(frames):
    x = feature((2, 3, frames, 2, 2))
    total = (x - x.mean(2, keepdim=True)).square().sum((1, 2, 3, 4))

    weights = band_weights(frames)
    power = temporal_spectrum(x)[:, :, 1:].abs().square().sum((1, 3, 4))
    scale = frames - 1  # of weights 1 and 2, before they sum to 1

    torch.testing.assert_close(scale * (power * weights).sum(1), total)
    expected = [2] * ((frames - 1) // 2) + [1] * (frames % 2 == 0)
    assert (weights * scale).tolist() == pytest.approx(expected)


@pytest.mark.parametrize('bands', [[1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_factors_that_are_no_weights_of_the_bands_are_refused(bands):
    with pytest.raises(ValueError, match=r'6 frames have 3 motion bands.*got \['):
        band_weights(6, bands)


def test_a_single_frame_is_refused_because_it_has_no_motion():
    x = torch.zeros(1, 2, 1, 2, 2)
    for loss in LOSSES:
        with pytest.raises(ValueError, match=r'2 frames or more.*\(1, 2, 1, 2, 2\)'):
            loss(x, x)


# Values


@every_shape
@pytest.mark.parametrize('static', [0.0, 0.3, 1.0])
def test_amplitude_is_the_hellinger_distance_of_two_sided_spectra(shape, static):
    student, teacher = feature(shape), feature(shape, 1)

    expected = []
    for clip in zip(student, teacher):
        p, q = (np.abs(two_sided(x)) ** 2 for x in clip)
        mean, motion = hellinger(p[:1], q[:1]), hellinger(p[1:], q[1:])
        expected.append(static * mean + (1 - static) * motion)

    loss = spectrum_amplitude(student, teacher, static, eps=TINY)
    assert loss.tolist() == pytest.approx(expected, abs=1e-6)


@every_shape
def test_energy_is_the_same_of_power_summed_over_channels(shape):
    student = feature(shape)
    teacher = feature((shape[0], shape[1] + 2, *shape[2:]), 1)

    expected = []
    for clip in zip(student, teacher):
        p, q = ((np.abs(two_sided(x)) ** 2).sum(1) for x in clip)
        mean, motion = hellinger(p[:1], q[:1]), hellinger(p[1:], q[1:])
        expected.append(0.25 * mean + 0.75 * motion)

    loss = spectrum_energy(student, teacher, eps=TINY)
    assert loss.tolist() == pytest.approx(expected, abs=1e-6)


@every_shape
def test_coherence_is_the_mean_over_two_sided_frequencies(shape):
    student, teacher = feature(shape), feature(shape, 1)

    expected = []
    for clip in zip(student, teacher):
        x, y = (two_sided(part).reshape(shape[2], -1) for part in clip)
        cross = (x * y.conj()).sum(1).real
        norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        each = 1 - cross / norms
        expected.append(0.25 * each[0] + 0.75 * each[1:].mean())

    loss = spectrum_coherence(student, teacher, eps=TINY)
    assert loss.tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize('loss', [spectrum_amplitude, spectrum_coherence])
def test_factors_choose_the_bands(loss):
    student, teacher = feature(seed=0), feature(seed=1)
    time = torch.arange(8, dtype=torch.float64)[:, None, None]
    wave = torch.cos(2 * torch.pi * 3 * time / 8) * torch.randn(
        3, 4, 1, 2, 3, dtype=torch.float64
    )

    def without(band):
        factors = [float(f != band) for f in (1, 2, 3, 4)]
        return lambda s: loss(s, teacher, 0.0, factors, TINY)

    for band in (1, 2, 3, 4):
        moved, still = without(band)(student + wave), without(band)(student)
        assert torch.allclose(moved, still, rtol=1e-6) is (band == 3)


# What the losses see, and what they must not


def test_amplitude_is_not_the_difference_of_features():
    # by Parseval, the difference of complex spectra is
    x = feature()
    shifted = x.roll(1, 2)
    spectra = temporal_spectrum(x) - temporal_spectrum(shifted)
    power = spectra.abs().square().sum((1, 3, 4))
    twins = torch.tensor([1, 2, 2, 2, 1.0])
    mse = feature_mse(x, shifted)
    torch.testing.assert_close((twins * power).sum(1) / x[0].numel(), mse)

    assert mse.min() > 0.1
    assert spectrum_amplitude(x, shifted).max() < 1e-12


@pytest.mark.parametrize('loss', [spectrum_amplitude, spectrum_energy])
@pytest.mark.parametrize(
    'change', [lambda x: x.flip(2), lambda x: x.roll(3, 2)], ids=['reversed', 'shifted']
)
def test_amplitudes_are_blind_to_reversal_and_circular_shifts(loss, change):
    student, teacher = feature(seed=0), feature(seed=1)

    assert loss(teacher, change(teacher)).max() < 1e-12
    torch.testing.assert_close(loss(student, change(teacher)), loss(student, teacher))


@pytest.mark.parametrize('space', [(2, 3), (1, 1)], ids=['map', 'pooled'])
def test_coherence_sees_reversal_on_a_map_and_on_one_pooled_channel(space):
    for channels in (1, 4):
        x = feature((16, channels, 8, *space))
        assert spectrum_coherence(x, x.flip(2), 0.0).min() > 0.1


def test_coherence_of_a_shift_by_one_frame_is_known():
    x = feature()
    frequencies = np.arange(1, 8)
    expected = (1 - np.cos(2 * np.pi * frequencies / 8)).mean()

    loss = spectrum_coherence(x, x.roll(1, 2), 0.0)

    assert loss.tolist() == pytest.approx([expected] * 3, rel=1e-4)


def test_coherence_of_unrelated_signals_is_about_one():
    x, y = feature((4, 64, 8, 6, 6)), feature((4, 64, 8, 6, 6), 1)

    assert spectrum_coherence(x, y).tolist() == pytest.approx([1] * 4, abs=0.05)


def test_coherence_counts_every_band_alike_however_little_energy_it_has():
    time = torch.arange(8, dtype=torch.float64)[:, None, None]
    slow, fast = (torch.cos(2 * torch.pi * f * time / 8 + 0.3) for f in (1, 3))
    x = 100 * slow + fast + torch.zeros(1, 1, 8, 1, 1, dtype=torch.float64)
    other = 100 * slow - fast + torch.zeros_like(x)

    assert 1 - torch.cosine_similarity(x.flatten(), other.flatten(), 0) < 1e-3
    # two of seven motion frequencies turned round
    assert spectrum_coherence(x, other, 0.0).item() == pytest.approx(4 / 7, rel=0.01)


@every_loss
def test_a_large_mean_over_time_does_not_drown_the_motion(loss):
    student, teacher = feature(seed=0), feature(seed=1)
    plain = loss(student, teacher)
    mean = 10 * feature((3, 4, 1, 2, 3), 2).abs()

    moved = loss(student + mean, teacher + mean)

    # the means agree now, the motion as little as before
    torch.testing.assert_close(
        moved, 0.75 * loss(student, teacher, 0.0), rtol=0.02, atol=1e-3
    )
    assert (moved > 0.5 * plain).all()
    assert loss(student + mean, teacher + mean, 1.0).max() < 5e-3


@every_loss
@pytest.mark.parametrize('scale', [0.01, 0.1, 50.0])
def test_the_scale_of_a_clip_does_not_matter(loss, scale):
    student, teacher = feature(seed=0), feature(seed=1)
    each = torch.tensor([1.0, scale, 2 * scale])[:, None, None, None, None].double()

    plain = loss(student, teacher)
    close = functools.partial(torch.testing.assert_close, rtol=1e-3, atol=1e-6)
    close(loss(each * student, teacher), plain)
    close(loss(student, each * teacher), plain)


@every_loss
def test_a_spectrum_loss_of_a_clip_does_not_depend_on_the_batch(loss):
    student, teacher = feature(seed=0), feature(seed=1)

    torch.testing.assert_close(
        loss(student, teacher)[1:2], loss(student[1:2], teacher[1:2])
    )


# Gradients


@every_loss
def test_the_gradient_of_a_spectrum_loss_agrees_with_finite_differences(loss):
    student, teacher = feature((2, 2, 5, 1, 2)), feature((2, 2, 5, 1, 2), 1)

    assert torch.autograd.gradcheck(
        lambda s: loss(s, teacher, 0.3, [1.0, 0.5]), (student.requires_grad_(),)
    )


@every_loss
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_silent_or_still_clip_has_a_finite_gradient(loss, dtype):
    still = feature((3, 4, 1, 2, 3)).expand(3, 4, 8, 2, 3)
    for clip in (torch.zeros(3, 4, 8, 2, 3), still):
        student = clip.to(dtype).clone().requires_grad_()

        value = loss(student, feature(seed=1).to(dtype))
        value.sum().backward()

        assert value.isfinite().all()
        assert student.grad.isfinite().all()
        assert student.grad.abs().max() < 1e4


# Errors


@every_loss
def test_features_of_other_lengths_are_refused_with_both_shapes(loss):
    with pytest.raises(ValueError, match='must have the same shape'):
        loss(feature((1, 2, 8, 1, 1)), feature((1, 2, 4, 1, 1)))


@every_loss
@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_a_static_weight_outside_zero_to_one_is_refused(loss, share):
    x = feature()
    with pytest.raises(ValueError, match=f'between 0 and 1, got {share}'):
        loss(x, x, share)
