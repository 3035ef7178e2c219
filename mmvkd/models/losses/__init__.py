"""The mathematics of distillation: pure functions on tensors.

Nothing here knows configs, modules, state or process groups. A mean over clips
is the caller's: losses come back per clip, ``(N,)``, to be reduced over the
global batch (see :func:`mmvkd.models.gather.clip_mean`).
"""

from __future__ import annotations

from .distribution import channel_moments, gaussian_distance
from .feature import feature_mse
from .ground_cost import (
    binary_cost,
    check_conditionally_negative_definite,
    prototype_cost,
)
from .logits import dkd_loss, kd_loss, zscore, zscore_kd_loss
from .relation import correlation_distance, dist_inter, dist_intra
from .substage import cka_distance, gram_distance, pearson_distance
from .transport import (
    SinkhornResult,
    binary_transport,
    default_epsilon,
    sinkhorn,
    sinkhorn_divergence,
)

__all__ = [
    'SinkhornResult',
    'binary_cost',
    'binary_transport',
    'channel_moments',
    'check_conditionally_negative_definite',
    'cka_distance',
    'correlation_distance',
    'default_epsilon',
    'dist_inter',
    'dist_intra',
    'dkd_loss',
    'feature_mse',
    'gaussian_distance',
    'gram_distance',
    'kd_loss',
    'pearson_distance',
    'prototype_cost',
    'sinkhorn',
    'sinkhorn_divergence',
    'zscore',
    'zscore_kd_loss',
]
