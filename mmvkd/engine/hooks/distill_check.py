"""Warnings of what trains without an error and teaches little."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmvkd.engine.wrapping import unwrap
from mmvkd.models.distillers.video_distiller import accuracy_of
from mmvkd.models.outputs import Targets
from mmvkd.registry import HOOKS


@HOOKS.register_module()
class DistillCheckHook(Hook):
    """Warns of a distiller whose parts do not fit each other.

    That is, of a balancer whose scales another optimizer constructor put among the
    weights; and, after the first epoch, of a frozen teacher that was hardly right more
    often than chance on this process's labeled clips.
    """

    def __init__(self) -> None:
        self._right: dict[str, Any] = defaultdict(float)
        self._labeled: Counter[str] = Counter()

    def before_train(self, runner: Runner) -> None:
        """Warn of scales that learn like weights."""
        balancer = getattr(unwrap(runner.model), 'balancer', None)
        scales = set() if balancer is None else set(balancer.parameters())
        # of several optimizers, one is that of the scales
        if not scales or isinstance(runner.optim_wrapper, OptimWrapperDict):
            return
        for group in runner.optim_wrapper.param_groups:
            others = set(group['params']) - scales
            decays = bool(group.get('weight_decay'))
            if len(others) < len(group['params']) and (others or decays):
                runner.logger.warning(
                    f'the scales of the {type(balancer).__name__} have the learning '
                    'rate and decay of weights; give the optim_wrapper '
                    "constructor='mmvkd.DistillOptimWrapperConstructor', and its own "
                    'constructor, if it has one, as student_constructor'
                )
                return

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Count, in the first epoch, how often each teacher is right."""
        if runner.epoch > 0 or not isinstance(outputs, Mapping):
            return
        rated = getattr(unwrap(runner.model), 'rated', ())
        there = [name for name in rated if accuracy_of(name) in outputs]
        labeled = Targets.of(data_batch['data_samples']).count if there else 0
        for name in there:
            self._right[name] += outputs[accuracy_of(name)] * labeled
            self._labeled[name] += labeled

    def after_train_epoch(self, runner: Runner) -> None:
        """Warn of teachers that know hardly more than chance, once."""
        model = unwrap(runner.model)
        for name, labeled in self._labeled.items():
            chance = 1 / model.cards[name].num_classes
            deviation = (chance * (1 - chance) / labeled) ** 0.5
            accuracy = float(self._right[name]) / labeled
            low = accuracy < min(chance + 3 * deviation, (1 + chance) / 2)
            if low and model.teachers[name].checkpoint != 'random':
                runner.logger.warning(
                    f"teacher '{name}' ranked the label first for {accuracy:.1%} of "
                    f'{labeled} clips, hardly more than chance ({chance:.1%}): its '
                    'config may not be the one that its checkpoint was trained with, '
                    'or its classes have another order'
                )
        self._right.clear()
        self._labeled.clear()
