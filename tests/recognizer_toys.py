"""More tiny recognizers, teachers and distillers, and a small Runner for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset
from toys import CLASSES, FRAMES, batch, tiny_tsm

from mmvkd.models import VideoDistiller
from mmvkd.models.recognizers import build_recognizer
from mmvkd.registry import MODELS

NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def tiny_tsn(depth: int = 18, num_classes: int = CLASSES, **head: Any) -> dict:
    """Config of a TSN-ResNet."""
    return dict(
        type='Recognizer2D',
        backbone=dict(type='ResNet', depth=depth, pretrained=None, norm_eval=False),
        cls_head=dict(
            type='TSNHead',
            num_classes=num_classes,
            in_channels=512 * (4 if depth >= 50 else 1),
            consensus=dict(type='AvgConsensus', dim=1),
            average_clips='prob',
            **head,
        ),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW', **NORM
        ),
    )


def tiny_slowfast(depth: int = 18, num_classes: int = CLASSES) -> dict:
    """Config of a SlowFast for clips of 8 frames: 2 slow ones, 8 fast ones."""
    path = dict(
        type='resnet3d',
        depth=depth,
        pretrained=None,
        conv1_stride_t=1,
        pool1_stride_t=1,
        norm_eval=False,
    )
    slow = dict(path, lateral=True, conv1_kernel=(1, 7, 7), inflate=(0, 0, 1, 1))
    fast = dict(path, lateral=False, conv1_kernel=(5, 7, 7), base_channels=8)
    width = 512 * (4 if depth >= 50 else 1)
    return dict(
        type='Recognizer3D',
        backbone=dict(
            type='ResNet3dSlowFast',
            pretrained=None,
            resample_rate=4,
            speed_ratio=4,
            channel_ratio=8,
            slow_pathway=slow,
            fast_pathway=fast,
        ),
        cls_head=dict(
            type='SlowFastHead',
            in_channels=width + width // 8,
            num_classes=num_classes,
            average_clips='prob',
        ),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCTHW', **NORM
        ),
    )


def tiny_i3d() -> dict:
    """Config of a ResNet3d that halves the frames behind its first stage."""
    config = tiny_slowfast()
    config['backbone'] = dict(
        type='ResNet3d',
        depth=18,
        pretrained=None,
        pretrained2d=False,
        conv1_stride_t=1,
        pool1_stride_t=1,
        norm_eval=False,
    )
    config['cls_head'] = dict(
        type='I3DHead', num_classes=4, in_channels=512, average_clips='prob'
    )
    return config


def tiny_mobilenet() -> dict:
    """Config of a TSM-MobileNetV2."""
    config = tiny_tsm()
    config['backbone'] = dict(
        type='MobileNetV2TSM',
        num_segments=4,
        shift_div=8,
        pretrained=None,
        pretrained2d=False,
    )
    config['cls_head']['in_channels'] = 1280
    return config


def tiny_swin(num_classes: int = CLASSES, drop_path: float = 0.2) -> dict:
    """Config of a Swin-3D of four blocks."""
    return dict(
        type='Recognizer3D',
        backbone=dict(
            type='SwinTransformer3D',
            arch=dict(embed_dims=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            pretrained=None,
            pretrained2d=False,
            patch_size=(2, 4, 4),
            window_size=(2, 4, 4),
            drop_path_rate=drop_path,
        ),
        cls_head=dict(
            type='I3DHead',
            in_channels=96,
            num_classes=num_classes,
            dropout_ratio=0.5,
            average_clips='prob',
        ),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCTHW', **NORM
        ),
    )


def tiny_vit(num_classes: int = CLASSES, size: int = 32) -> dict:
    """Config of a TSN on a ViT of mmpretrain with two layers."""
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    return dict(
        type='Recognizer2D',
        backbone=dict(
            type='mmpretrain.VisionTransformer', arch=arch, img_size=size, patch_size=8
        ),
        cls_head=dict(type='TimeSformerHead', num_classes=num_classes, in_channels=24),
        data_preprocessor=dict(
            type='ActionDataPreprocessor', format_shape='NCHW', **NORM
        ),
    )


def tiny_mmpretrain(num_classes: int = CLASSES, **backbone: Any) -> dict:
    """Config of a TSN on a ResNet-18 of mmpretrain."""
    config = tiny_tsn(num_classes=num_classes)
    config['backbone'] = dict(type='mmpretrain.ResNet', depth=18, **backbone)
    return config


def volumes(clips: int = 2, frames: int = 8, size: int = 32, seed: int = 0) -> dict:
    """A batch for a 3-D student: uint8 clips (1, C, T, H, W) and labels."""
    data = batch(clips, frames, size, seed)
    data['inputs'] = [x.transpose(0, 1)[None].contiguous() for x in data['inputs']]
    return data


def teacher(model: Any = None, checkpoint: str = 'random', **kwargs: Any) -> dict:
    """Config of a teacher, a TSM-R18 unless said."""
    return dict(
        type='mmvkd.RecognizerTeacher',
        model=tiny_tsm() if model is None else model,
        checkpoint=checkpoint,
        **kwargs,
    )


def config(
    student: Any = None,
    teachers: Optional[Mapping[str, Any]] = None,
    heads: Optional[Mapping[str, Any]] = None,
    **kwargs: Any,
) -> dict:
    """Config of a distiller: KD from one TSM-R18 to another unless said."""
    return dict(
        type='mmvkd.VideoDistiller',
        student=tiny_tsm() if student is None else student,
        teachers=dict(t=teacher()) if teachers is None else teachers,
        heads=dict(kd=dict(type='mmvkd.KDHead')) if heads is None else heads,
        **kwargs,
    )


def build(model: dict, seed: int = 0, init: bool = True) -> VideoDistiller:
    """Build a model, and initialize it as training does."""
    torch.manual_seed(seed)
    built = MODELS.build(copy.deepcopy(model))
    if init:
        built.init_weights()
    return built


def distiller(
    student: Any = None,
    teachers: Optional[Mapping[str, Any]] = None,
    heads: Optional[Mapping[str, Any]] = None,
    **kwargs: Any,
) -> VideoDistiller:
    """:func:`config`, built and initialized."""
    return build(config(student, teachers, heads, **kwargs))


def plain(recognizer: dict, seed: int = 0) -> nn.Module:
    """A recognizer without a distiller, initialized as training does."""
    torch.manual_seed(seed)
    model = build_recognizer('student', recognizer)
    model.init_weights()
    return model


def losses(model: nn.Module, data: dict) -> dict[str, Tensor]:
    """What the model gives in a training step."""
    return model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')


def step(model: nn.Module, data: dict, **wrapper: Any) -> dict[str, Tensor]:
    """One training step with SGD; returns the logged values."""
    optim = dict(optimizer=dict(type='SGD', lr=0.01), **wrapper)
    optim.setdefault('type', 'OptimWrapper')
    return model.train().train_step(
        copy.deepcopy(data), build_optim_wrapper(model, optim)
    )


def backward(model: nn.Module, data: dict) -> dict[str, Tensor]:
    """The losses of a training step, whose gradients are in the parameters now."""
    entries = losses(model, data)
    model.parse_losses(entries)[0].backward()
    return entries


def without_gradient(model: nn.Module) -> list[str]:
    """Names of trainable parameters that got no gradient."""
    named = model.named_parameters()
    return [name for name, p in named if p.requires_grad and p.grad is None]


def file_of(model: nn.Module, path: Path, **extra: Tensor) -> str:
    """Write a checkpoint of ``model`` and return its path."""
    torch.save(dict(state_dict={**model.state_dict(), **extra}), path)
    return str(path)


class Clips(Dataset):
    """A few clips."""

    metainfo: dict = {}

    def __init__(self, count: int = 4, frames: int = FRAMES, size: int = 32) -> None:
        self.data = batch(count, frames, size)

    def __len__(self) -> int:
        return len(self.data['inputs'])

    def __getitem__(self, index: int) -> dict:
        return {key: value[index] for key, value in self.data.items()}


def run(model: dict, work_dir: Path, epochs: int = 1, **kwargs: Any) -> Runner:
    """Train on :class:`Clips`, a checkpoint an epoch, and return the runner."""
    loader = dict(
        dataset=Clips(),
        batch_size=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    kwargs.setdefault(
        'optim_wrapper', dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
    )
    runner = Runner(
        model=copy.deepcopy(model),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=3),
        default_scope='mmaction',
        experiment_name=work_dir.name,
        log_level='ERROR',
        **kwargs,
    )
    runner.train()
    return runner


def fitnets(tap: str = 'backbone.layer4', **kwargs: Any) -> dict:
    """Config of a head that matches a tap."""
    return dict(type='mmvkd.FitNetsHead', tap=tap, **kwargs)


def kd_and_fitnets() -> dict:
    """Heads on logits and on a tap."""
    return dict(kd=dict(type='mmvkd.KDHead'), hint=fitnets())
