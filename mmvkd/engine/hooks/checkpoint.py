"""Checkpoints that stay whole if the run is killed at any moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from mmengine.dist import barrier, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmvkd.files import replacing
from mmvkd.registry import HOOKS

_MOST_LOGGED = 10_000  # values of a scalar
_OUTDATED = 'mmvkd_outdated_checkpoints'


class AtomicBackend(LocalBackend):
    """Local files, written under a temporary name and renamed, removed later."""

    def __init__(self) -> None:
        self.outdated: list[str] = []

    def put(self, obj: bytes, filepath: Any) -> None:
        """Write ``obj`` so that ``filepath`` is always the old file or the new one."""
        with replacing(Path(filepath)) as temporary, open(temporary, 'wb') as file:
            file.write(obj)

    def remove(self, filepath: Any) -> None:
        """Remember ``filepath``; :meth:`flush` removes it."""
        self.outdated.append(str(filepath))

    def flush(self, keep: set) -> None:
        """Remove the outdated files, except ``keep``."""
        for path in self.outdated:
            if path not in keep and os.path.isfile(path):
                os.remove(path)
        self.outdated.clear()


register_backend('mmvkd.atomic', AtomicBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, with files that are always whole.

    A checkpoint is written under a temporary name and renamed; only then is the one
    that it replaces removed. Checkpoints are saved at epoch ends only: from one within
    an epoch, a run could not resume exactly, so asking for it is refused. From the
    second epoch on, they hold the last 10,000 values of each scalar of training, or
    those of an epoch if it has more steps.

    Args:
        interval: Epochs between checkpoints.
        by_epoch: Must be True.
        **kwargs: As in MMEngine's ``CheckpointHook``, except ``backend_args``.
    """

    best_ckpt_path: Optional[str]
    best_ckpt_path_dict: dict[str, Optional[str]]

    def __init__(self, interval: int = 1, by_epoch: bool = True, **kwargs: Any) -> None:
        if not by_epoch:
            raise ValueError(
                'AtomicCheckpointHook saves at epoch ends (by_epoch=True): a run '
                'cannot go on exactly from within an epoch; to train by iterations, '
                "take MMEngine's CheckpointHook, and leave ExactResumeHook out"
            )
        super().__init__(
            interval, by_epoch, backend_args=dict(backend='mmvkd.atomic'), **kwargs
        )

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, and remove what a kill left behind."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'AtomicCheckpointHook saves at epoch ends; '
                f'{type(runner.train_loop).__name__} has none: use EpochBasedTrainLoop'
            )
        super().before_train(runner)
        self.file_backend: AtomicBackend
        # a run in another folder that this one resumes keeps its best checkpoint
        if hasattr(self, 'best_ckpt_path'):
            self.best_ckpt_path = self._own(self.best_ckpt_path)
        for key, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[key] = self._own(path)
        known = runner.message_hub.runtime_info
        # a checkpoint that was resumed is saved again when its score is the best
        self.last_ckpt = known.get('last_ckpt')
        if is_main_process():
            for name in known.get(_OUTDATED, ()):
                self.file_backend.remove(os.path.join(self.out_dir, name))
            self._flush()
            for name in ('*.pth', 'last_checkpoint'):
                for leftover in Path(self.out_dir).glob(f'.{name}.*.tmp'):
                    leftover.unlink()

    def before_train_epoch(self, runner: Runner) -> None:
        """Bound what is kept of the scalars of training.

        MMEngine keeps a million values of each, copies them all in each step and
        writes them into each checkpoint; logs average the last ones, at most an epoch.
        """
        longest = max(_MOST_LOGGED, len(runner.train_dataloader))
        for name, history in runner.message_hub.log_scalars.items():
            if name.startswith('train/'):
                history.max_length = longest

    def after_val_epoch(
        self, runner: Runner, metrics: Optional[dict[str, float]] = None
    ) -> None:
        """Save a best checkpoint, then drop the former one."""
        super().after_val_epoch(runner, metrics)
        if is_main_process():
            self._flush()

    def _own(self, path: Optional[str]) -> Optional[str]:
        """The file of this name in this run's folder, None if there is none."""
        here = os.path.join(self.out_dir, os.path.basename(path or ''))
        return here if os.path.isfile(here) else None

    def _flush(self) -> None:
        """Remove the outdated checkpoints, except the last and the best ones."""
        best = getattr(self, 'best_ckpt_path', None)
        others = getattr(self, 'best_ckpt_path_dict', {}).values()
        self.file_backend.flush({self.last_ckpt, best, *others})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, point ``last_checkpoint`` to it, then drop the outdated ones."""
        name = self.filename_tmpl.format(step)
        if self.max_keep_ckpts > 0:
            # before saving, because the checkpoint holds the list
            if not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step:
                outdated = []
                if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                    old = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
                    self.file_backend.remove(os.path.join(self.out_dir, old))
                    outdated.append(old)
                self.keep_ckpt_ids.append(step)
                # for a run that is killed before it removes them
                runner.message_hub.update_info(_OUTDATED, outdated)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            pointer = os.path.join(runner.work_dir, 'last_checkpoint')
            self.file_backend.put(self.last_ckpt.encode(), pointer)
            self._flush()
        barrier()
