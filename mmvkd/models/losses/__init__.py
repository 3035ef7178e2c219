"""The mathematics of distillation: pure functions on tensors.

Nothing here knows configs, modules, state or process groups. Losses that look at one
clip at a time are returned per clip, ``(N,)``, and the caller takes the mean over the
global batch (:func:`mmvkd.models.gather.clip_mean`). Those that compare clips take the
gathered batch and say what they return; those on kernels need no batch.
"""

from __future__ import annotations

from .barycenter import Barycenter, sinkhorn_barycenter
from .bilinear import (
    Sketch,
    bilinear_sketch,
    count_sketch,
    draw_sketch,
    signed_root,
    unit_length,
)
from .discrepancy import median_bandwidth, mmd, paired_mmd
from .distribution import channel_moments, gaussian_distance
from .feature import feature_mse
from .ground_cost import prototype_cost
from .logits import dkd_loss, kd_loss, zscore, zscore_kd_loss
from .parameter import (
    frequency_energy,
    jensen_shannon,
    kernel_spectrum,
    quantile_distance,
    quantiles,
)
from .relation import correlation_distance, dist_inter, dist_intra
from .spectrum import (
    band_weights,
    spectrum_amplitude,
    spectrum_coherence,
    spectrum_energy,
    temporal_spectrum,
)
from .substage import cka_distance, gram_distance, pearson_distance
from .transport import (
    SinkhornResult,
    binary_transport,
    default_epsilon,
    sinkhorn,
)

__all__ = [
    'Barycenter',
    'SinkhornResult',
    'Sketch',
    'band_weights',
    'bilinear_sketch',
    'binary_transport',
    'channel_moments',
    'cka_distance',
    'correlation_distance',
    'count_sketch',
    'default_epsilon',
    'dist_inter',
    'dist_intra',
    'dkd_loss',
    'draw_sketch',
    'feature_mse',
    'frequency_energy',
    'gaussian_distance',
    'gram_distance',
    'jensen_shannon',
    'kd_loss',
    'kernel_spectrum',
    'median_bandwidth',
    'mmd',
    'paired_mmd',
    'pearson_distance',
    'prototype_cost',
    'quantile_distance',
    'quantiles',
    'signed_root',
    'sinkhorn',
    'sinkhorn_barycenter',
    'spectrum_amplitude',
    'spectrum_coherence',
    'spectrum_energy',
    'temporal_spectrum',
    'unit_length',
    'zscore',
    'zscore_kd_loss',
]
