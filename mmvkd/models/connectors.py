"""Connectors: map a student feature to a teacher feature's shape, in training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from torch import Tensor, nn

from mmvkd.registry import MODELS


def build_connector(
    config: Optional[Mapping[str, Any]], student: Sequence[int], teacher: Sequence[int]
) -> nn.Module:
    """A connector from the student's channels to the teacher's.

    Args:
        config: Of the connector; a :class:`ConvConnector` if None.
        student: Shape (C, T, H, W) of the student's feature.
        teacher: Shape (C', T', H', W') of the teacher's.
    """
    config = config or dict(type='mmvkd.ConvConnector')
    return MODELS.build(dict(config, in_channels=student[0], out_channels=teacher[0]))


@MODELS.register_module()
class ConvConnector(nn.Module):
    """A 1×1×1 convolution from the student's channels to the teacher's.

    Args:
        in_channels: C of the student's feature.
        out_channels: C of the teacher's feature.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size=1)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C, T, H, W) to (N, C', T, H, W)."""
        return self.conv(feature)


@MODELS.register_module()
class IdentityConnector(nn.Module):
    """No change, for features of equal channels.

    Args:
        in_channels: C of the student's feature.
        out_channels: C of the teacher's feature, the same.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(
                f'IdentityConnector joins equal channels; the student has '
                f'{in_channels}, the teacher {out_channels}: use mmvkd.ConvConnector'
            )

    def forward(self, feature: Tensor) -> Tensor:
        """The feature itself."""
        return feature
