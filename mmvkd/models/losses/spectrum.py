"""Losses that compare how features change over time, frequency by frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor

from .numerics import check_same_shape, check_share, full_precision

# Power that is negligible next to any feature's.
_SILENCE = 1e-8


def temporal_spectrum(feature: Tensor) -> Tensor:
    r"""One-sided orthonormal Fourier transform along time.

    .. math:: \hat X_f = \frac1{\sqrt T}\sum_t x_t\,e^{-2\pi i f t/T},
              \quad f = 0 \dots \lfloor T/2\rfloor

    Args:
        feature: ``(N, C, T, H, W)``, T of 2 or more.

    Returns:
        Complex, ``(N, C, F, H, W)``, f in cycles per clip.

    Raises:
        ValueError: if there is a single frame, which has no motion.
    """
    if feature.ndim != 5 or feature.shape[2] < 2:
        raise ValueError(
            f'a temporal spectrum needs (N, C, T, H, W) with 2 frames or more, got a '
            f'feature {tuple(feature.shape)}'
        )
    return torch.fft.rfft(full_precision(feature), dim=2, norm='ortho')


def band_weights(frames: int, bands: Optional[Sequence[float]] = None) -> Tensor:
    """Weights of the motion bands f = 1, 2, …, negative frequencies included.

    Each frequency has a negative twin, except half the frame rate, so the bands count
    2, …, 2, 1 times for even T and 2, …, 2 times for odd T.

    Args:
        frames: T.
        bands: A factor for each band, T // 2 of them; 1 if None.

    Returns:
        Weights that sum to 1, ``(T // 2,)``, on the host.

    Raises:
        ValueError: if the number of factors is wrong, one is negative, or none is
            positive.
    """
    twins = torch.full((frames // 2,), 2.0)
    if frames % 2 == 0:
        twins[-1] = 1.0
    if bands is not None:
        if len(bands) != len(twins) or min(bands) < 0 or max(bands) <= 0:
            raise ValueError(
                f'{frames} frames have {len(twins)} motion bands, each with a factor '
                f'of at least 0 and one above it; got {list(bands)}'
            )
        twins = twins * torch.tensor([float(factor) for factor in bands])
    return twins / twins.sum()


def spectrum_amplitude(
    student: Tensor,
    teacher: Tensor,
    static_weight: float = 0.25,
    bands: Optional[Sequence[float]] = None,
    eps: float = 1e-3,
) -> Tensor:
    r"""Match how much each channel and position moves, at each frequency.

    After arXiv 2009.06902; our reading.

    .. math:: L_n = w_0\,d(f{=}0) + (1-w_0)\,d(f{>}0),\quad
              d = \tfrac12\Big\|\frac{A^S}{\|A^S\|} - \frac{A^T}{\|A^T\|}\Big\|^2,\quad
              A = \sqrt{|\hat X|^2 + \epsilon^2\,\overline{|\hat X|^2}}

    where the norms in each :math:`d` run over channels, positions and its own bands,
    weighted as in :func:`band_weights`. So :math:`d` is the squared Hellinger distance
    of two distributions of energy. The mean over time, :math:`f=0`, has its own norm:
    in a common one it would drown out the motion.

    Unchanged by a positive scale of a clip. Unchanged also by reversing or
    circularly shifting time, so it cannot teach a direction; see
    :func:`spectrum_coherence`. (The difference of *complex* spectra would be the
    difference of the features, by Parseval.)

    Args:
        student: Feature, ``(N, C, T, H, W)``, after a connector.
        teacher: Feature of the same shape.
        static_weight: :math:`w_0`, in [0, 1].
        bands: A factor for each motion band; see :func:`band_weights`.
        eps: :math:`\epsilon`, which keeps the root's gradient finite at 0; relative.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 1.

    Raises:
        ValueError: if the shapes differ or there is a single frame.
    """
    check_same_shape(student, teacher, 'feature', ndim=5)
    powers = _power(student), _power(teacher)
    return _energy_distance(powers, student.shape[2], static_weight, bands, eps)


def spectrum_energy(
    student: Tensor,
    teacher: Tensor,
    static_weight: float = 0.25,
    bands: Optional[Sequence[float]] = None,
    eps: float = 1e-3,
) -> Tensor:
    r"""Match how much each position moves, at each frequency, over all channels.

    Like :func:`spectrum_amplitude`, with :math:`\sum_c |\hat X_c|^2` in place of
    :math:`|\hat X|^2`. The numbers of channels may differ, so no connector is needed.

    Args:
        student: Feature, ``(N, C, T, H, W)``.
        teacher: Feature, ``(N, C', T, H, W)``.
        static_weight: See :func:`spectrum_amplitude`.
        bands: Likewise.
        eps: Likewise.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 1.

    Raises:
        ValueError: if T, H or W differ or there is a single frame.
    """
    own, other = (_power(x).sum(dim=1, keepdim=True) for x in (student, teacher))
    check_same_shape(own, other, 'spectrum', ndim=5)
    return _energy_distance((own, other), student.shape[2], static_weight, bands, eps)


def spectrum_coherence(
    student: Tensor,
    teacher: Tensor,
    static_weight: float = 0.25,
    bands: Optional[Sequence[float]] = None,
    eps: float = 1e-3,
) -> Tensor:
    r"""Match *when* features change: one minus the real coherence of each frequency.

    After arXiv 2009.06902; our reading.

    .. math:: L_n = \sum_f w_f\left(1 - \frac{\mathrm{Re}\,S_{xy}(f)}
              {\sqrt{S_{xx}(f)\,S_{yy}(f)}}\right),\quad
              S_{xy}(f) = \sum_{chw} \hat X^S_f\,\overline{\hat X^T_f}

    Every band has its own norm: weighted by energy, the sum would be the cosine of
    the features. The real part is taken because the magnitude does not see shifts.
    Unchanged by a positive scale of each band, apart from a floor of
    :math:`\epsilon^2` of the mean power under the norms, which keeps silent bands
    silent; changed by time reversal and by shifts: a shift by one of T frames costs
    :math:`1-\cos(2\pi f/T)`.

    Args:
        student: Feature, ``(N, C, T, H, W)``, after a connector.
        teacher: Feature of the same shape.
        static_weight: :math:`w_0`, in [0, 1]; the motion bands share the rest.
        bands: A factor for each motion band; see :func:`band_weights`.
        eps: :math:`\epsilon`.

    Returns:
        Loss of each clip, ``(N,)``, between 0 and 2; about 1 for unrelated features.

    Raises:
        ValueError: if the shapes differ or there is a single frame.
    """
    check_same_shape(student, teacher, 'feature', ndim=5)
    # [N, C, F, H, W, 2]
    spectra = [torch.view_as_real(temporal_spectrum(x)) for x in (student, teacher)]
    units = []
    for spectrum in spectra:
        # [N, 1, F, 1, 1, 1]
        power = spectrum.square().sum(dim=(1, 3, 4, 5), keepdim=True)
        floor = eps**2 * power.mean(dim=2, keepdim=True) + _SILENCE
        units.append(spectrum / (power + floor).sqrt())
    # [N, F]
    distance = 0.5 * (units[0] - units[1]).square().sum(dim=(1, 3, 4, 5))
    weight = _motion(distance, student.shape[2], bands)
    return _blend(distance[:, 0], (weight * distance[:, 1:]).sum(1), static_weight)


def _power(feature: Tensor) -> Tensor:
    spectrum = temporal_spectrum(feature)
    return spectrum.real.square() + spectrum.imag.square()


def _motion(like: Tensor, frames: int, bands: Optional[Sequence[float]]) -> Tensor:
    # non-blocking: the host goes on while they are copied
    return band_weights(frames, bands).to(like.device, like.dtype, non_blocking=True)


def _energy_distance(
    energies: tuple[Tensor, Tensor],
    frames: int,
    static_weight: float,
    bands: Optional[Sequence[float]],
    eps: float,
) -> Tensor:
    """The distance of two energies (N, C, F, H, W), student's and teacher's."""
    weight = _motion(energies[0], frames, bands)[:, None, None]
    static, motion = [], []
    for energy in energies:
        floor = eps**2 * energy.mean(dim=(1, 2, 3, 4), keepdim=True) + _SILENCE
        amplitude = (energy + floor).sqrt()
        static.append(_unit(amplitude[:, :, :1]))
        motion.append(_unit(amplitude[:, :, 1:] * weight.sqrt()))
    return _blend(_half_square(*static), _half_square(*motion), static_weight)


def _half_square(x: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (x - y).square().flatten(1).sum(dim=1)


def _unit(x: Tensor) -> Tensor:
    return x / x.square().sum(dim=(1, 2, 3, 4), keepdim=True).sqrt()


def _blend(static: Tensor, motion: Tensor, static_weight: float) -> Tensor:
    check_share(static_weight, 'static_weight')
    return static_weight * static + (1 - static_weight) * motion
