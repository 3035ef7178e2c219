"""A Runner of a tiny classifier of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner


class Tiny(BaseModel):
    """A classifier of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
        )

    def forward(self, x: Any, y: Any, mode: str = 'tensor') -> Any:
        logits = self.body(torch.as_tensor(x).float())
        if mode == 'loss':
            labels = torch.as_tensor(y)
            return dict(loss=torch.nn.functional.cross_entropy(logits, labels))
        return [logits]


class Numbers(BaseDataset):
    """Eight pairs of numbers and their class."""

    def load_data_list(self) -> list[dict]:
        return [dict(x=np.array([i, -i], np.float32), y=i % 2) for i in range(8)]

    def prepare_data(self, idx: int) -> tuple[np.ndarray, int]:
        info = self.get_data_info(idx)
        return info['x'], info['y']


class Scalars(BaseMetric):
    """Gives the kinds of scalars that metrics give."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1.0)

    def compute_metrics(self, results: list) -> dict:
        return dict(top1=np.mean(results), count=np.int64(len(results)))


def runner(work_dir: Path, epochs: int = 1, **settings: Any) -> Runner:
    """A Runner with everything that leaves something in a checkpoint."""
    loader: dict[str, Any] = dict(batch_size=4, collate_fn=dict(type='default_collate'))
    metainfo = ConfigDict(classes=['a', 'b'], palette=dict(a=(1, 2)))
    config: dict[str, Any] = dict(
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.name}_{epochs}_{len(settings)}',
        default_scope='mmengine',
        model=Tiny(),
        train_dataloader=dict(
            dataset=Numbers(metainfo=metainfo),
            sampler=dict(type='DefaultSampler', shuffle=True),
            **loader,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_dataloader=dict(
            dataset=Numbers(), sampler=dict(type='DefaultSampler'), **loader
        ),
        val_cfg=dict(),
        val_evaluator=Evaluator(Scalars()),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1), clip_grad=dict(max_norm=1.0)
        ),
        param_scheduler=[
            dict(type='OneCycleLR', eta_max=0.1, total_steps=9, by_epoch=False),
            dict(type='MultiStepLR', milestones=[1, 2]),
            dict(type='ReduceOnPlateauLR', monitor='top1', rule='greater'),
        ],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='auto')),
        custom_hooks=[dict(type='EMAHook')],
        log_level='ERROR',
    )
    return Runner(**{**config, **settings})
