"""How close students come to their teacher, by stage: spectra and distances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Optional

import torch
from torch import Tensor

from mmvkd.models.kernels import filters
from mmvkd.models.losses import (
    band_weights,
    frequency_energy,
    jensen_shannon,
    kernel_spectrum,
    spectrum_coherence,
    spectrum_energy,
    temporal_spectrum,
)
from mmvkd.models.resizing import match_size

BEFORE = 'before'
"""The student as training starts from it."""

MEASURES = ('bands', 'energy', 'coherence', 'kernels')
"""What tells student from teacher: see :func:`temporal_distances` for the first three,
:func:`kernel_distance` for the last."""


@dataclass(frozen=True)
class Stage:
    """Spectra of one stage by model, and how far each student is from the teacher.

    Args:
        temporal: What :func:`energy_shares` gives, the mean over the clips.
        kernels: What :func:`kernel_shares` gives; empty if it gives nothing.
        distances: By student and measure, the mean over the clips.
    """

    temporal: dict[str, list[float]]
    kernels: dict[str, list[float]]
    distances: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Fidelity:
    """Students compared with their teacher.

    Args:
        teacher: Its name.
        students: Their names, :data:`BEFORE` first.
        clips: How many clips were looked at.
        stages: By name.
    """

    teacher: str
    students: tuple[str, ...]
    clips: int
    stages: dict[str, Stage]

    def mean(self) -> dict[str, dict[str, float]]:
        """Distances averaged over the stages that have them."""
        found: dict[str, dict[str, float]] = {}
        for student in self.students:
            each = [stage.distances[student] for stage in self.stages.values()]
            found[student] = {
                measure: sum(values) / len(values)
                for measure in MEASURES
                if (values := [d[measure] for d in each if measure in d])
            }
        return found

    def plain(self) -> dict[str, Any]:
        """The contents as plain values, for a JSON file."""
        return dict(asdict(self), mean=self.mean())


def energy_shares(feature: Tensor) -> Tensor:
    r"""How a feature's energy spreads over temporal frequencies, all channels together.

    .. math:: m_0 = \frac{E_0}{\sum_f w_f E_f},\quad
              m_f = \frac{w_f E_f}{\sum_{g>0} w_g E_g},\quad
              E_f = \sum_{chw} |\hat X_{fchw}|^2

    with :math:`w_0 = 1` and, for the bands, 2, …, 2, 1 if T is even and 2, …, 2 if it
    is odd, as a band also stands for its negative frequency. So the mean over time
    (f = 0) is set against all energy, and each band of motion against the energy of all
    motion, which the mean would drown out.

    Args:
        feature: ``(N, C, T, H, W)``, T of 2 or more.

    Returns:
        ``(N, 1 + T // 2)``, f in cycles per clip.
    """
    frames = feature.shape[2]
    # [N, F]
    energy = temporal_spectrum(feature).abs().square().sum(dim=(1, 3, 4))
    # the weights sum to 1; there are T − 1 frequencies besides 0
    motion = energy[:, 1:] * band_weights(frames).to(energy) * (frames - 1)
    total = motion.sum(1, keepdim=True)
    tiny = torch.finfo(energy.dtype).tiny
    static = energy[:, :1] / (energy[:, :1] + total).clamp_min(tiny)
    return torch.cat([static, motion / total.clamp_min(tiny)], dim=1)


def temporal_distances(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """How far a student's temporal spectrum is from the teacher's, without a connector.

    The mean over time is left out, and channels are summed over before anything is
    compared, so neither their number nor their order matters.

    * ``bands``: how fast. Squared Hellinger distance between the bands' shares of the
      clip's energy of motion, which a picture of spectra shows. 0 to 1.
    * ``energy``: how fast, and where. The same for the shares of positions and bands;
      :func:`~mmvkd.models.losses.spectrum_energy`. 0 to 1. Like ``bands``, it is blind
      to the direction of time.
    * ``coherence``: when. :func:`~mmvkd.models.losses.spectrum_coherence` of the
      activity, which is the root mean square over channels, by position. 0 to 2, about
      1 for unrelated features. It sees a reversal.

    Sizes are matched as in the spectrum head: see
    :func:`~mmvkd.models.resizing.match_size`.

    Args:
        student: ``(N, C, T, H, W)``.
        teacher: ``(N, C', T', H', W')``, T and T' of 2 or more.

    Returns:
        Each distance by name, (N,), a value for each clip.
    """
    own, theirs = match_size(student, teacher)
    # [N, C·H·W, T, 1, 1]
    anywhere = [x.transpose(2, 4).flatten(1, 3)[..., None, None] for x in (own, theirs)]
    # [N, 1, T, H, W]
    activity = [x.square().mean(1, keepdim=True).sqrt() for x in (own, theirs)]
    return dict(
        bands=spectrum_energy(anywhere[0], anywhere[1], static_weight=0),
        energy=spectrum_energy(own, theirs, static_weight=0),
        coherence=spectrum_coherence(activity[0], activity[1], static_weight=0),
    )


@torch.no_grad()
def kernel_shares(
    student: Iterable[Tensor], teacher: Iterable[Tensor]
) -> Optional[tuple[Tensor, Tensor]]:
    """Share of each spatial frequency in the energy of a stage's kernels.

    Of the kernel sizes that both models have, the one of which the teacher has most
    filters counts; kernels that extend in time are averaged over time.

    Args:
        student: Kernels, (O, I, …).
        teacher: Likewise.

    Returns:
        The student's and the teacher's, (k²,); None if they have no size in common.
    """
    own, theirs = filters(student, volumes=False), filters(teacher, volumes=False)
    common = [size for size in theirs if size in own]
    if not common:
        return None
    size = max(common, key=lambda each: sum(map(len, theirs[each])))
    spectra = [kernel_spectrum(torch.cat(found[size])) for found in (own, theirs)]
    return frequency_energy(spectra[0]), frequency_energy(spectra[1])


def kernel_distance(student: Tensor, teacher: Tensor) -> float:
    """Jensen–Shannon divergence of two such spectra, 0 to log 2."""
    return jensen_shannon(student, teacher).item()
