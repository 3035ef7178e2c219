"""Configs of tiny distillers to benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from recognizer_toys import config, teacher
from toys import tiny_tsm
from videos import dataset, pipeline

from mmvkd.evaluation.setting import BenchmarkSettings
from mmvkd.evaluation.variants import Bench

NOWHERE = '/nowhere/weights.pth'
ONE = BenchmarkSettings(batch=2, size=32, steps=1, warmup=0)


def whole(model: Optional[dict] = None, **changes: Any) -> dict[str, Any]:
    """A config with a pipeline, a schedule and teachers whose files are missing."""
    if model is None:
        model = distilling()
    optim = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
    loader = dict(dataset=dict(pipeline=pipeline(augment=False)))
    return dict(model=model, optim_wrapper=optim, val_dataloader=loader, **changes)


def distilling(**changes: Any) -> dict[str, Any]:
    """A distiller of KD and FitNets, whose weights are to be fetched."""
    student = tiny_tsm()
    student['backbone']['pretrained'] = NOWHERE
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        hint=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
    )
    changes.setdefault('heads', heads)
    changes.setdefault('teachers', dict(t=teacher(checkpoint=NOWHERE)))
    return config(changes.pop('student', student), **changes)


def staged(**head: Any) -> dict[str, Any]:
    """A config whose head runs the teacher on from the student's features."""
    terms = dict(dict(combination=1.0, distribution=1.0), **head.pop('terms', {}))
    substage = dict(type='mmvkd.SubstageHead', terms=terms, **head)
    return whole(distilling(heads=dict(substage=substage)))


def loading(annotations: str, **changes: Any) -> dict[str, Any]:
    """A train_dataloader over a list."""
    sampler = dict(type='mmvkd.SeededSampler', shuffle=True)
    data = dict(dataset(annotations), **changes)
    return dict(batch_size=1, num_workers=0, sampler=sampler, dataset=data)


def bench(folder: Path, config: Optional[dict] = None, **setting: Any) -> Bench:
    """The variants of :func:`whole`, unless another config is given."""
    settings = dict(vars(ONE), **setting)
    return Bench(
        whole() if config is None else config, BenchmarkSettings(**settings), folder
    )
