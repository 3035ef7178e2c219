"""Progressive cascade: the parts of the student learn one after the other."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from itertools import chain
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvkd.engine.schedulers import PhaseLR
from mmvkd.engine.wrapping import unwrap
from mmvkd.models import VideoDistiller
from mmvkd.models.substages import belongs, substages
from mmvkd.models.taps import find_module
from mmvkd.phases import lengths_of, phase_at
from mmvkd.registry import HOOKS


@HOOKS.register_module()
class CascadeHook(Hook):
    """Sets, before each epoch, which parts learn in it and from which losses.

    After arXiv 2307.05201; our reading. What a phase leaves out is frozen: it gets no
    gradient, no optimizer step (its optimizer state stays as it is) and no new
    BatchNorm statistics. The scales of terms that are off are frozen, too. The phase is
    a function of the epoch, so a resumed run needs no state.

    Args:
        phases: By name, in order; a phase is a dict of

            * ``epochs``: how many, 0 to leave it out; the last phase gets the rest;
            * ``train``: the parts of the student that learn: names of its
              :func:`~mmvkd.models.substages.substages`, ``head`` for all after the
              backbone, or dotted names of modules. All of it if left out, as the last
              phase must;
            * ``heads``: the distillation heads that are on, by name, each with the
              arguments of its ``focus``, such as
              ``dict(substage=dict(stages=['stage1']))``; all, in full, if left out;
            * ``label``: whether the losses of the student's own head count; True if
              left out;
            * ``lr``: read by :class:`~mmvkd.engine.schedulers.PhaseLR`.

    Raises:
        ValueError: before the first step, for settings that do not fit.
    """

    def __init__(self, phases: Mapping[str, Mapping[str, Any]]) -> None:
        self.phases = {name: dict(phase) for name, phase in phases.items()}
        self._current: Optional[str] = None

    def before_train(self, runner: Runner) -> None:
        """Check the phases, and remember what can learn at all."""
        model = unwrap(runner.model)
        if not isinstance(model, VideoDistiller):
            raise ValueError(
                f'CascadeHook is for a mmvkd.VideoDistiller, not a '
                f'{type(model).__name__}'
            )
        self.lengths = lengths_of(self.phases, runner.max_epochs)
        for name, phase in self.phases.items():
            self._modules(model, name)
            _check_heads(model, name, phase)
        *_, last = self.phases
        if self.phases[last].get('train') is not None:
            raise ValueError(f"the last phase, '{last}', trains the whole student")
        for scheduler in chain(*_lists(runner.param_schedulers)):
            if getattr(scheduler, 'lengths', self.lengths) != self.lengths:
                raise ValueError(
                    f'the phases of the cascade last {self.lengths} epochs, those '
                    f'of {type(scheduler).__name__} {scheduler.lengths}'
                )
        self._check_rates(runner)
        model.train()  # in which backbones freeze their first stages
        # the optimizer holds these, whatever a phase freezes
        self._learnable = [p for p in model.parameters() if p.requires_grad]
        learnable = [n for n, p in model.student.named_parameters() if p.requires_grad]
        for name, epochs in zip(self.phases, self.lengths):
            modules = self._modules(model, name)
            if modules and epochs and not any(belongs(n, modules) for n in learnable):
                runner.logger.warning(
                    f"phase '{name}' trains {', '.join(self.phases[name]['train'])}, "
                    'all of which the student freezes; epochs=0 leaves the phase out'
                )

    def before_train_epoch(self, runner: Runner) -> None:
        """Enter the phase of this epoch."""
        name = list(self.phases)[phase_at(runner.epoch, self.lengths)]
        if name == self._current:
            return
        self._current = name
        model = unwrap(runner.model)
        self._set(model, name)
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        runner.logger.info(
            f"phase '{name}': {learning / 1e6:.2f} million parameters learn"
        )
        if is_model_wrapper(runner.model):
            # its buckets hold the parameters that learned when it was made
            settings = runner.cfg.get('model_wrapper_cfg')
            if not model.uses_labels:
                # heads may not give a gradient to all that learns
                settings = settings or dict(
                    type='MMDistributedDataParallel', broadcast_buffers=False
                )
                settings = dict(settings, find_unused_parameters=True)
            runner.model = model
            gc.collect()
            runner.model = runner.wrap_model(settings, model)
            runner._maybe_compile('train_step')

    def _set(self, model: VideoDistiller, name: str) -> None:
        phase = self.phases[name]
        modules = self._modules(model, name)
        learnable = {id(p) for p in self._learnable}
        for key, parameter in model.student.named_parameters():
            on = modules is None or belongs(key, modules)
            parameter.requires_grad = on and id(parameter) in learnable
        model.learning = modules
        model.uses_labels = bool(phase.get('label', True))
        chosen = phase.get('heads')
        for key, head in model.heads.items():
            head.enabled = chosen is None or key in chosen
            head.requires_grad_(head.enabled)
            if head.enabled:
                head.focus(**((chosen or {}).get(key) or {}))
        model.balancer.focus(model.active_terms)
        for parameter in model.distill.parameters():
            if id(parameter) not in learnable:
                parameter.requires_grad = False
        for parameter in self._learnable:
            if not parameter.requires_grad:
                # a gradient that was accumulating would still move it
                parameter.grad = None

    def _check_rates(self, runner: Runner) -> None:
        """Refuse rates of phases that no scheduler sets."""
        rates = {name: phase.get('lr', 1.0) for name, phase in self.phases.items()}
        schedulers = chain(*_lists(runner.param_schedulers))
        read = [s.factors for s in schedulers if isinstance(s, PhaseLR)]
        if any(rate != 1 for rate in rates.values()) and rates not in read:
            raise ValueError(
                f'the phases have the rates {rates}, and no scheduler sets them; add '
                "dict(type='mmvkd.PhaseLR', phases=…) with the same phases to "
                'param_scheduler'
            )
        for together in _lists(runner.param_schedulers):
            if any(isinstance(s, PhaseLR) and not s.is_constant for s in together):
                for scheduler in together:
                    _check_floor(scheduler)

    def _modules(self, model: VideoDistiller, name: str) -> Optional[tuple[str, ...]]:
        """Modules of the student that learn in a phase, None for all."""
        names = self.phases[name].get('train')
        if names is None:
            return None
        if isinstance(names, str) or not names:
            raise ValueError(
                f"train of phase '{name}' is a list of names, got {names!r}; leave it "
                'out to train the whole student'
            )
        parts = {key: cut.modules for key, cut in substages(model.student).items()}
        behind = [k for k, _ in model.student.named_children() if k != 'backbone']
        parts['head'] = tuple(behind)
        modules: list[str] = []
        for part in names:
            if part in parts:
                modules += parts[part]
                continue
            try:
                find_module(model.student, part)
            except ValueError as error:
                raise ValueError(
                    f"phase '{name}' trains '{part}', which is none of "
                    f'{", ".join(parts)}, nor a module: {error}'
                ) from error
            modules.append(part)
        return tuple(modules)


def _check_heads(model: VideoDistiller, name: str, phase: Mapping[str, Any]) -> None:
    """Refuse heads, or parts of them, that do not exist, and a phase without loss."""
    chosen = phase.get('heads')
    if chosen is None:
        return
    if not isinstance(chosen, Mapping):
        raise ValueError(
            f"heads of phase '{name}' is a dict of what is on by head, got {chosen!r}"
        )
    for key, parts in chosen.items():
        if key not in model.heads:
            raise ValueError(
                f"phase '{name}' names head '{key}'; the model has "
                f'{", ".join(model.heads)}'
            )
        try:
            model.heads[key].focus(**(parts or {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"phase '{name}', head '{key}': {error}") from error
        model.heads[key].focus()
    if not chosen and not phase.get('label', True):
        raise ValueError(f"phase '{name}' has neither heads nor label losses")


def _lists(schedulers: Any) -> list[list[Any]]:
    """The schedulers of a Runner, those of each optimizer together."""
    if isinstance(schedulers, Mapping):
        return list(schedulers.values())
    return [schedulers or []]


def _check_floor(scheduler: Any) -> None:
    """Refuse a schedule that ends at its own rate, which a factor does not scale."""
    for name in ('eta_min', 'eta_min_ratio'):
        if getattr(scheduler, name, None):
            raise ValueError(
                f'{type(scheduler).__name__} ends at a rate of its own ({name}='
                f'{getattr(scheduler, name)}), which the factors of mmvkd.PhaseLR do '
                f'not scale; give it {name}=0 in param_scheduler'
            )
