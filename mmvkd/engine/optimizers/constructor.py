"""The student's optimizer, plus the training-only parts."""

from __future__ import annotations

import copy
from typing import Any, Optional

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from torch import nn
from torch.optim import SGD, Optimizer

from mmvkd.engine.wrapping import unwrap
from mmvkd.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DistillOptimWrapperConstructor:
    """Runs a constructor on the student alone, then adds parameters under ``distill.``.

    So the student's parameters get exactly the groups, rates and decays of the plain
    student. The others get the base rate and decay; those of the balancer get no decay,
    and the rate of :func:`rate_of_scales`. A teacher that learns is itself a distiller,
    and treated as such.

    Args:
        optim_wrapper_cfg: As for MMEngine's constructors, with one more key
            ``student_constructor``: the type that the plain student's config names as
            ``constructor``.
        paramwise_cfg: For that constructor.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None
    ) -> None:
        self.optim_wrapper_cfg = copy.deepcopy(optim_wrapper_cfg)
        self.student_constructor: str = self.optim_wrapper_cfg.pop(
            'student_constructor', 'DefaultOptimWrapperConstructor'
        )
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: Any) -> OptimWrapper:
        """Build the wrapper for a distiller, or for a plain recognizer as is.

        Raises:
            ValueError: if the constructor does not suit a teacher that learns.
        """
        model = unwrap(model)
        config: dict[str, Any] = dict(
            type=self.student_constructor,
            optim_wrapper_cfg=copy.deepcopy(self.optim_wrapper_cfg),
            paramwise_cfg=copy.deepcopy(self.paramwise_cfg),
        )
        constructor = MMENGINE_CONSTRUCTORS.build(config)
        wrapper = constructor(getattr(model, 'student', model))
        if not hasattr(model, 'distill'):
            return wrapper
        for group in wrapper.optimizer.param_groups:
            # torch takes no further group without names beside one with them
            group.pop('param_names', None)
        balancer = model.balancer
        others = _learning(model.distill['heads'])
        if others:
            wrapper.optimizer.add_param_group(dict(params=others))
        scales = _learning(balancer)
        if scales:
            rate = rate_of_scales(balancer, wrapper.optimizer)
            wrapper.optimizer.add_param_group(
                dict(params=scales, lr=rate, weight_decay=0.0)
            )
        for name, partner in model.partners.items():
            try:
                groups = self(partner).optimizer.param_groups
            except Exception as error:
                raise ValueError(
                    f'{self.student_constructor} cannot group the parameters of '
                    f"teacher '{name}', which is to learn: "
                    f'{type(error).__name__} {error}'
                ) from error
            for group in groups:
                wrapper.optimizer.add_param_group(group)
        return wrapper


def rate_of_scales(balancer: nn.Module, optimizer: Optimizer) -> float:
    """Learning rate of a balancer's parameters: ``lr_mult`` times the base rate.

    A balancer without an ``lr_mult`` has the base rate. One whose ``lr_mult`` is None
    leaves it to the optimizer: 1 for SGD, 10 for those that scale their steps.
    """
    mult = getattr(balancer, 'lr_mult', 1.0)
    if mult is None:
        mult = 1.0 if isinstance(optimizer, SGD) else 10.0
    return optimizer.defaults['lr'] * mult


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]
