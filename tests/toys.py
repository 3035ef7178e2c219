"""Tiny recognizers and batches."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.structures import ActionDataSample

CLASSES = 4
FRAMES = 4


def tiny_tsm(
    depth: int = 18, num_classes: int = CLASSES, frames: int = FRAMES, **backbone: Any
) -> dict[str, Any]:
    """Config of a TSM-ResNet that sees few frames."""
    return dict(
        type='Recognizer2D',
        backbone=dict(
            type='ResNetTSM',
            depth=depth,
            pretrained=None,
            pretrained2d=False,
            norm_eval=False,
            shift_div=8,
            num_segments=frames,
            **backbone,
        ),
        cls_head=dict(
            type='TSMHead',
            num_segments=frames,
            num_classes=num_classes,
            in_channels=512 * (4 if depth >= 50 else 1),
            dropout_ratio=0.5,
            average_clips='prob',
        ),
        data_preprocessor=dict(
            type='ActionDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            format_shape='NCHW',
        ),
    )


def batch(clips: int = 2, frames: int = FRAMES, size: int = 32, seed: int = 0) -> dict:
    """A batch as the loader gives it: uint8 clips (T, C, H, W) and labels."""
    generator = torch.Generator().manual_seed(seed)
    shape = (frames, 3, size, size)
    inputs = [
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        for _ in range(clips)
    ]
    samples = [ActionDataSample().set_gt_label(i % CLASSES) for i in range(clips)]
    return dict(inputs=inputs, data_samples=samples)
