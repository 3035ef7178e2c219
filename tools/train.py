"""Train a distiller or any other MMAction2 model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.config import Config

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine import distributed, launch
from mmvkd.models.checkpoints import find_checkpoint
from mmvkd.registry import short_type


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument('--work-dir', help='directory of logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or from the last one in the work directory',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--no-validate', action='store_true', help='no evaluation during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size of the config '
        'to the batch size of this run',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='another seed in each process'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic algorithms only'
    )
    launch.add_arguments(parser)
    return parser.parse_args(argv)


def merge_args(config: Config, args: argparse.Namespace) -> None:
    """Write the arguments into the config; ``--cfg-options`` override them.

    Only ``--no-validate`` comes after them, so that they may name what it removes.
    """
    config.launcher = args.launcher
    launch.set_work_dir(config, args.work_dir, args.config)
    if args.amp:
        kind = config.optim_wrapper.get('type', 'OptimWrapper')
        if short_type(kind) not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(f'--amp needs an OptimWrapper; the config has {kind}')
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume not in (None, 'auto'):
        config.resume, config.load_from = True, args.resume
    if args.auto_scale_lr:
        if not config.get('auto_scale_lr'):
            raise ValueError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=…) in the '
                'config: the batch size that its learning rate is meant for'
            )
        config.auto_scale_lr.enable = True
    randomness: dict[str, Any] = dict(seed=None)
    randomness.update(config.get('randomness') or {})
    if args.seed is not None:
        randomness['seed'] = args.seed
    for flag in ('diff_rank_seed', 'deterministic'):
        if getattr(args, flag):
            randomness[flag] = True
    config.randomness = randomness
    if args.cfg_options is not None:
        config.merge_from_dict(args.cfg_options)
    if args.resume == 'auto' and find_checkpoint(config.work_dir, best=False):
        # one killed before its first checkpoint begins again as the config says
        config.resume, config.load_from = True, None
    if args.no_validate:
        config.val_cfg = config.val_dataloader = config.val_evaluator = None


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback) as errors:
        config = launch.load_config(args.config)
        merge_args(config, args)
        runner = launch.build_runner(config, args.local_rank)
        errors.watch(runner)
        launch.check_learning_rate(runner)
        launch.scale_by_accumulation(runner)
        runner.train()
        del runner
        distributed.shut_down()


if __name__ == '__main__':
    main()
