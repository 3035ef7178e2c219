"""Makes a resumed run equal to an uninterrupted one."""

from __future__ import annotations

from typing import Optional

from mmengine.dist import all_gather_object
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmvkd.registry import HOOKS

_VALIDATED = 'mmvkd_validated_epoch'
_GRADIENTS = 'mmvkd_accumulated_gradients'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Adds to a checkpoint, and restores, what MMEngine leaves out.

    * A validation that a kill prevented is made up for before training continues.
    * Gradients that are still accumulating at an epoch's end go into the checkpoint.
    * ``EarlyStoppingHook`` is shown the scores of the run again.
    * A checkpoint from within an epoch is refused, and so is one without an optimizer,
      such as the best ones. So are processes that begin at different steps.
    """

    # after CheckpointHook, which must have found its folder before the validation
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._gradients: Optional[list] = None

    def before_train(self, runner: Runner) -> None:
        """Restore what the run had; validate if its last epoch was not validated.

        Raises:
            RuntimeError: if the processes do not begin at one step.
        """
        _require_one_start(runner)
        self._give_back(runner)
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            kind = type(runner.train_loop).__name__
            runner.logger.warning(
                f'{kind} has no epochs, so this run cannot be resumed if it is '
                'interrupted; EpochBasedTrainLoop can'
            )
        for hook in runner.hooks:
            if isinstance(hook, EarlyStoppingHook):
                _count_again(hook, runner)
        loop = runner.train_loop
        if runner.epoch == 0 or runner.val_loop is None:
            return
        # the interval that dynamic_intervals give by now
        loop._decide_current_val_interval()
        due = runner.epoch >= loop.val_begin and (
            runner.epoch % loop.val_interval == 0 or runner.epoch == loop.max_epochs
        )
        done = runner.message_hub.runtime_info.get(_VALIDATED, 0)
        if due and done < runner.epoch:
            runner.logger.info(f'validating epoch {runner.epoch}, as was prevented')
            # as they stood then, for the checkpoints that the validation writes
            runner.message_hub.update_info('epoch', runner.epoch - 1)
            runner.message_hub.update_info('iter', runner.iter - 1)
            runner.val_loop.run()

    def before_val_epoch(self, runner: Runner) -> None:
        """Mark the epoch as validated, before a best checkpoint of it is written."""
        runner.message_hub.update_info(_VALIDATED, runner.epoch)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add accumulating gradients, by position in the optimizer."""
        wrapper = runner.optim_wrapper
        count = getattr(wrapper, '_accumulative_counts', 1)
        pending = count > 1 and wrapper._inner_count % count
        if pending and runner.world_size > 1:
            runner.logger.warning(
                'gradients are still accumulating at the end of the epoch, and those '
                'of other processes are not in the checkpoint: choose '
                'accumulative_counts that divide the iterations of an epoch'
            )
        elif pending:
            checkpoint[_GRADIENTS] = [
                None if p.grad is None else p.grad.detach().cpu()
                for group in wrapper.param_groups
                for p in group['params']
            ]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse what cannot be resumed exactly; keep gradients for the first step."""
        self._gradients = None
        if not runner._resume:
            return
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise RuntimeError(
                'a run goes on exactly from the end of an epoch; '
                f'{type(runner.train_loop).__name__} has none: use EpochBasedTrainLoop'
                ', or start a new run with load_from=CHECKPOINT'
            )
        if 'optimizer' not in checkpoint:
            raise RuntimeError(
                'the checkpoint has no state of the optimizer, as best_*.pth have '
                'none, so no run can go on from it: resume from an epoch_*.pth, or '
                'start a new run with load_from=CHECKPOINT'
            )
        done, epoch = checkpoint['meta']['iter'], checkpoint['meta']['epoch']
        length = len(runner.train_dataloader)
        if done != epoch * length:
            raise RuntimeError(
                f'the checkpoint has {done} iterations in {epoch} epochs; this run has '
                f'{length} per epoch: resume from a checkpoint of an epoch end, with '
                'the same batch size and number of processes'
            )
        self._gradients = checkpoint.get(_GRADIENTS)

    def _give_back(self, runner: Runner) -> None:
        """Restore accumulated gradients, once."""
        gradients, self._gradients = self._gradients, None
        if gradients is None:
            return
        parameters = [p for g in runner.optim_wrapper.param_groups for p in g['params']]
        for parameter, gradient in zip(parameters, gradients):
            if gradient is not None:
                parameter.grad = gradient.to(parameter.device)


def _require_one_start(runner: Runner) -> None:
    """Refuse processes of which some resume, and others do not see the checkpoint."""
    starts = all_gather_object(runner.iter)
    if len(set(starts)) > 1:
        told = ', '.join(f'process {rank} at {at}' for rank, at in enumerate(starts))
        raise RuntimeError(
            f'the processes begin at different iterations ({told}): all nodes must see '
            f"the same checkpoints, so put work_dir '{runner.work_dir}' where all can "
            'read it'
        )


def _count_again(hook: EarlyStoppingHook, runner: Runner) -> None:
    """Show the hook the scores of the run before it was resumed."""
    scores = runner.message_hub.log_scalars.get(f'val/{hook.monitor}')
    for score in [] if scores is None else scores.data[0]:
        hook.after_val_epoch(runner, {hook.monitor: float(score)})
