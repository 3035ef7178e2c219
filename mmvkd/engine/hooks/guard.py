"""Refuses checkpoints that would leave random weights in a model."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import find_latest_checkpoint

from mmvkd.engine.wrapping import unwrap
from mmvkd.models.checkpoints import mismatch, plain_state
from mmvkd.registry import HOOKS


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Raises when a checkpoint is not the model's own.

    MMEngine loads what fits and leaves the rest as it was initialized. That is right
    for a warm start, where at least one tensor must fit; for testing and resuming it
    would give meaningless numbers.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes.

        Raises:
            RuntimeError: if the checkpoint is not of this model.
        """
        path = runner._load_from or find_latest_checkpoint(runner.work_dir)
        if not isinstance(checkpoint, dict):
            kind = type(checkpoint).__name__
            raise RuntimeError(f"checkpoint '{path}' holds a {kind}, no state dict")
        model = unwrap(runner.model)
        # outside training, the train loop is not built
        if not isinstance(runner._train_loop, BaseLoop):
            problem = mismatch(model, plain_state(checkpoint))
        elif runner._resume:
            problem = mismatch(model, plain_state(checkpoint, True), True)
        else:
            own, state = model.state_dict(), plain_state(checkpoint, True)
            fits = any(k in own and own[k].shape == x.shape for k, x in state.items())
            problem = '' if fits else 'nothing in it fits'
        if problem:
            raise RuntimeError(f"checkpoint '{path}' is not of this model: {problem}")
