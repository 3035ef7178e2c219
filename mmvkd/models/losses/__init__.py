"""The mathematics of distillation: pure functions on tensors.

Nothing here knows configs, modules, state or process groups. A mean over clips
is the caller's: losses come back per clip, ``(N,)``, to be reduced over the
global batch (see :func:`mmvkd.models.gather.clip_mean`).
"""

from __future__ import annotations

from .feature import feature_mse
from .ground_cost import (
    binary_cost,
    check_conditionally_negative_definite,
    prototype_cost,
)
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
from .transport import (
    SinkhornResult,
    binary_transport,
    default_epsilon,
    sinkhorn,
    sinkhorn_divergence,
)

__all__ = [
    'SinkhornResult',
    'band_weights',
    'binary_cost',
    'binary_transport',
    'check_conditionally_negative_definite',
    'correlation_distance',
    'default_epsilon',
    'dist_inter',
    'dist_intra',
    'dkd_loss',
    'feature_mse',
    'frequency_energy',
    'jensen_shannon',
    'kd_loss',
    'kernel_spectrum',
    'prototype_cost',
    'quantile_distance',
    'quantiles',
    'sinkhorn',
    'sinkhorn_divergence',
    'spectrum_amplitude',
    'spectrum_coherence',
    'spectrum_energy',
    'temporal_spectrum',
    'zscore',
    'zscore_kd_loss',
]
