"""The learning rate of each phase of a cascade."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from mmvkd.phases import lengths_of, phase_at
from mmvkd.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class PhaseLR(LRSchedulerMixin, _ParamScheduler):
    r"""Multiplies the learning rate by a factor that starts anew in each phase.

    .. math:: m(t) = f_k \big(e + (1-e)\tfrac12(1 + \cos \pi u)\big)

    where :math:`u` is the share of phase k that is over. MMEngine's schedulers work on
    the current rate, so this one multiplies it by :math:`m(t) / m(t-1)`: alone it
    restarts in each phase, beside others it is a factor on top of theirs, unless they
    end at a rate of their own (``eta_min``), which the
    :class:`~mmvkd.engine.hooks.CascadeHook` refuses.

    Args:
        optimizer: See MMEngine's schedulers.
        phases: As the :class:`~mmvkd.engine.hooks.CascadeHook` has them; ``epochs`` and
            ``lr``, the factor :math:`f_k` (1 if left out), are read.
        end: Epochs of all phases together; in a config, those of the run if left out.
        end_factor: :math:`e`, reached at a phase's end; 1 keeps the rate constant in a
            phase.
        by_epoch: Whether it steps once an epoch. With ``convert_to_iter_based=True`` it
            steps each iteration, while all settings stay in epochs.
        last_step: See MMEngine's schedulers.
        verbose: Likewise.
        steps: Steps of an epoch, which ``convert_to_iter_based`` sets.

    Raises:
        ValueError: for phases that do not fit, or a factor that is not above 0.
    """

    def __init__(
        self,
        optimizer: Any,
        phases: Mapping[str, Mapping[str, Any]],
        end: int,
        end_factor: float = 1.0,
        by_epoch: bool = True,
        last_step: int = -1,
        verbose: bool = False,
        steps: int = 1,
    ) -> None:
        self.lengths = lengths_of(phases, end)
        self.factors = {name: phase.get('lr', 1.0) for name, phase in phases.items()}
        for name, factor in dict(self.factors, end_factor=end_factor).items():
            if not factor > 0:
                raise ValueError(f"the rate's factor '{name}' is {factor}, not above 0")
        self.end_factor = end_factor
        self.steps = steps
        super().__init__(
            optimizer,
            end=end * steps,
            by_epoch=by_epoch,
            last_step=last_step,
            verbose=verbose,
        )

    @property
    def is_constant(self) -> bool:
        """Whether it leaves the rate as it is."""
        return {*self.factors.values(), self.end_factor} == {1}

    @classmethod
    def build_iter_from_epoch(
        cls, optimizer: Any, epoch_length: int, by_epoch: bool = True, **kwargs: Any
    ) -> PhaseLR:
        """An instance that steps each iteration."""
        return cls(optimizer, by_epoch=False, steps=epoch_length, **kwargs)

    def multiplier(self, step: int) -> float:
        """:math:`m(t)`."""
        epoch = step / self.steps
        k = phase_at(epoch, self.lengths)
        share = (epoch - sum(self.lengths[:k])) / self.lengths[k]
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        factor = list(self.factors.values())[k]
        return factor * (self.end_factor + (1 - self.end_factor) * cosine)

    def _get_value(self) -> list[float]:
        ratio = self.multiplier(self.last_step)
        if self.last_step > 0:
            ratio /= self.multiplier(self.last_step - 1)
        return [group['lr'] * ratio for group in self.optimizer.param_groups]
