"""A small cascade, and a record of what happens in it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from runs import run_config, tiny_student
from torch import Tensor

PHASES: dict[str, Any] = dict(
    front=dict(
        epochs=1,
        train=['stage1'],
        heads=dict(substage=dict(stages=['stage1'])),
        label=False,
    ),
    back=dict(
        epochs=1,
        train=['backbone.layer2', 'head'],
        heads=dict(kd={}, substage=dict(terms=['distribution'])),
        lr=0.5,
    ),
    whole=dict(),
)
LIVE = dict(
    front=('backbone.conv1', 'backbone.layer1', 'substage.connectors.tsm.stage1'),
    back=('backbone.layer2', 'cls_head', 'substage.connectors.tsm.'),
    whole=(
        'backbone',
        'cls_head',
        'substage.connectors',
        'fitnets.connectors',
        'graph.',
    ),
)
"""Parts of the names of what learns in each phase."""


class RecordHook(Hook):
    """Writes down the gradients of the first step of each epoch, and all states."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.gradients: list[dict[str, Optional[Tensor]]] = []
        self.states: list[dict[str, Tensor]] = []
        self.optimizers: list[dict] = []
        self.rates: list[float] = []
        self.compiled: list[bool] = []

    def before_train(self, runner: Runner) -> None:
        step = runner.optim_wrapper.step

        def recorded(**kwargs: Any) -> None:
            if runner.iter % len(runner.train_dataloader) == 0:
                model = getattr(runner.model, 'module', runner.model)
                self.gradients.append(
                    {
                        name: None if p.grad is None else p.grad.clone()
                        for name, p in model.named_parameters()
                    }
                )
            self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
            step(**kwargs)

        runner.optim_wrapper.step = recorded
        self._keep(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._keep(runner)
        self.compiled.append('train_step' in vars(runner.model))

    def after_train(self, runner: Runner) -> None:
        path = self.path.format(rank=runner.rank)
        kept = {k: v for k, v in vars(self).items() if k != 'path'}
        torch.save(kept, path)

    def _keep(self, runner: Runner) -> None:
        model = getattr(runner.model, 'module', runner.model)
        self.states.append({k: v.clone() for k, v in model.state_dict().items()})
        self.optimizers.append(copy.deepcopy(runner.optim_wrapper.state_dict()))


if 'RecordHook' not in HOOKS:
    HOOKS.register_module(module=RecordHook)


def changes(phases: Any = None, **head: Any) -> dict[str, Any]:
    """What makes :func:`runs.run_config` a cascade."""
    phases = copy.deepcopy(PHASES if phases is None else phases)
    teacher = dict(model=dict(_delete_=True, **tiny_student()))
    head = dict(
        type='mmvkd.SubstageHead',
        terms=dict(combination=1.0, distribution=1.0),
        hybrids='all',
        combined=['stage1'],
        **head,
    )
    ends = dict(teacher_tap='backbone.layer2')
    return dict(
        model=dict(
            teachers=dict(tsm=teacher),
            heads=dict(substage=head, fitnets=ends, graph=ends),
        ),
        default_hooks=dict(cascade=dict(type='mmvkd.CascadeHook', phases=phases)),
        param_scheduler=[
            dict(
                type='mmvkd.PhaseLR',
                phases=phases,
                end_factor=0.1,
                convert_to_iter_based=True,
            )
        ],
    )


def cascade(folder: Path, lists: tuple[str, str], **more: Any) -> Config:
    config = run_config(str(folder / 'work'), *lists, **changes())
    config.custom_hooks.append(dict(type='RecordHook', path=str(folder / '{rank}.pth')))
    config.merge_from_dict(more)
    return config
