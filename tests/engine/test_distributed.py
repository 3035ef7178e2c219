"""One process or two give the same gradients for the same global batch."""

from __future__ import annotations

import copy
import os
import socket
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
import torch.distributed as dist
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from runs import fork, run_config, tiny_student
from torch import Tensor, nn
from toys import tiny_tsm
from videos import write_list

from mmvkd import compat
from mmvkd.models.gather import clip_mean, gather, global_count

RANKS = 2
CLIPS = 6


class GlobalBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the global batch, on the host, where torch has none."""

    def forward(self, x: Tensor) -> Tensor:
        everything = super().forward(gather(x))
        if not dist.is_initialized():
            return everything
        return everything.chunk(RANKS)[dist.get_rank()]


def synchronize(module: nn.Module) -> None:
    """Turn every BatchNorm below ``module`` into a global one."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = GlobalBatchNorm


def distiller(norm: str, state: dict | None = None) -> nn.Module:
    """A distiller with all kinds of terms, in float64, without dropout."""
    student = tiny_student()
    student['cls_head']['dropout_ratio'] = 0.0
    student['backbone']['norm_eval'] = norm == 'frozen'
    heads: dict[str, Any] = dict(
        kd=dict(type='mmvkd.KDHead', temperature=2.0),
        zscore=dict(type='mmvkd.ZScoreKDHead'),
        dist=dict(type='mmvkd.DISTHead', inter_weight=0.7, intra_weight=3.0),
        dkd=dict(type='mmvkd.DKDHead', beta=2.0),
        fitnets=dict(
            type='mmvkd.FitNetsHead',
            tap='backbone.layer2',
            teacher_tap='backbone.layer3',
        ),
        graph=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    )
    teachers = {
        name: dict(
            type='mmvkd.RecognizerTeacher', model=tiny_tsm(), checkpoint='random'
        )
        for name in ('a', 'b')
    }
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmvkd.VideoDistiller', student=student, teachers=teachers, heads=heads
        )
    )
    model.init_weights()
    for teacher in model.teachers.values():
        # a fresh head gives nearly uniform classes
        nn.init.normal_(teacher.model.cls_head.fc_cls.weight, std=1.0)
    nn.init.normal_(model.student.cls_head.fc_cls.weight, std=0.3)
    if norm == 'synchronized':
        synchronize(model.student)
    return model.train()


def clips(labels: list[int]) -> dict[str, Any]:
    """The global batch."""
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=generator)
        for _ in labels
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in labels]
    return dict(inputs=inputs, data_samples=samples)


def share(batch: dict[str, Any], rank: int) -> dict[str, Any]:
    """The part of the global batch that a rank gets."""
    size = len(batch['inputs']) // RANKS
    return {key: value[rank * size : (rank + 1) * size] for key, value in batch.items()}


def gradients(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Gradients of the objective, by parameter."""
    inner = getattr(model, 'module', model)
    data = inner.data_preprocessor(batch, training=True)
    entries = model(**data, mode='loss')
    loss, _ = inner.parse_losses(entries)
    loss.backward()
    return {
        name: parameter.grad
        for name, parameter in inner.named_parameters()
        if parameter.requires_grad
    }


def join(rank: int, folder: str) -> None:
    """Start the process group of a rank."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/group', rank=rank, world_size=RANKS
    )


def gradients_of_rank(rank: int, folder: str, norm: str, labels: list[int]) -> None:
    """Save what a rank ends up with; the body of a child process."""
    join(rank, folder)
    model = MMDistributedDataParallel(
        distiller(norm), device_ids=None, find_unused_parameters=False
    )
    batch = share(clips(labels), rank)
    found = {k: g.clone() for k, g in gradients(model, batch).items()}
    # a second step: every parameter took part in the first
    model.zero_grad()
    gradients(model, batch)
    state = copy.deepcopy(model.module.state_dict())
    torch.save(dict(gradients=found, state=state), f'{folder}/rank{rank}.pth')


@pytest.mark.parametrize('norm', ['frozen', 'synchronized'])
@pytest.mark.parametrize(
    'labels',
    [
        pytest.param([0, 1, 2, 3, 0, 1], id='labeled'),
        pytest.param([-1, -1, -1, 2, -1, 3], id='one rank unlabeled'),
        pytest.param([-1] * CLIPS, id='unlabeled'),
    ],
)
def test_two_processes_give_the_gradients_of_one(
    tmp_path: Path, norm: str, labels: list[int]
) -> None:
    model = distiller(norm)
    expected = gradients(model, clips(labels))
    calls = [
        (gradients_of_rank, (rank, str(tmp_path), norm, labels)) for rank in (0, 1)
    ]
    assert fork(*calls) == [0, 0]
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1))
    assert any(key.startswith('distill.heads.fitnets') for key in expected)
    largest = max(float(g.abs().max()) for g in expected.values())
    for name, gradient in expected.items():
        found = first['gradients'][name]
        assert torch.isfinite(found).all(), name
        assert torch.equal(found, second['gradients'][name]), name
        scale = max(float(gradient.norm()), 1e-3 * largest)
        assert float((found - gradient).norm()) < 2e-4 * scale, name
    for name, value in first['state'].items():
        assert torch.equal(value, second['state'][name]), name
