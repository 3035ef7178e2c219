"""The Runner's side of SeededDataset: seeds iterations, reports clips it replaced."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvkd.datasets.samplers import SeededSampler
from mmvkd.registry import HOOKS
from mmvkd.seeding import seed_all, seed_shared


@HOOKS.register_module()
class SeedingHook(Hook):
    """Makes the model's randomness a function of (run seed, iteration, rank).

    Before each iteration it seeds Python, NumPy and torch, so that dropout and blending
    of a resumed run are those of the uninterrupted one. Draws on which all processes
    must agree are seeded without the rank. It also reports each clip that cannot be
    read, once, and counts how often one was replaced.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.skipped = 0
        self._fresh: list[str] = []
        self._reported: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Hand the run's seed to the sampler, or warn that the data are not seeded."""
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SeededSampler):
            runner.logger.warning(
                'the train_dataloader has no sampler=dict(type="mmvkd.SeededSampler"): '
                'augmentation will not be reproduced when this run is resumed'
            )
            return
        # resuming restores the run's first seed, but the sampler was built before that
        sampler.seed = self._seed(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed for this iteration and report skipped clips of its batch."""
        seed_all(runner.seed, runner.iter, get_rank())
        seed_shared(self._seed(runner), runner.iter)
        # several loaders give a batch each
        for batch in data_batch if isinstance(data_batch, tuple) else [data_batch]:
            for sample in (batch or {}).get('data_samples', ()):
                self._fresh += sample.metainfo.get('skipped', ())
        if self._fresh and get_world_size() == 1:
            self._report(runner, self._fresh)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report what the other processes skipped, whose warnings nobody sees."""
        if get_world_size() > 1:
            gathered = all_gather_object(self._fresh)
            self._report(runner, [name for names in gathered for name in names])

    def after_train(self, runner: Runner) -> None:
        """Sum up."""
        if self.skipped:
            runner.logger.warning(
                f'{self.skipped} samples were replaced in this run: '
                f'{len(self._reported)} clips cannot be read'
            )

    @staticmethod
    def _seed(runner: Runner) -> int:
        """The run's seed, the same in all processes."""
        by_rank = runner._randomness_cfg.get('diff_rank_seed', False)
        return runner.seed - (get_rank() if by_rank else 0)

    def _report(self, runner: Runner, names: list[str]) -> None:
        self.skipped += len(names)
        for name in dict.fromkeys(names):
            if name not in self._reported:
                runner.logger.warning(
                    f'unreadable clip replaced by another: {name}; '
                    f'{self.skipped} so far'
                )
        self._reported.update(names)
        self._fresh = []
