"""From a config file and command-line arguments to a Runner that is ready."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.distributed import prepare_distributed
from mmvkd.host_memory import keep_freed_memory
from mmvkd.models.checkpoints import find_checkpoint, not_found, read_checkpoint
from mmvkd.packages import config_file, near_files
from mmvkd.registry import short_type
from mmvkd.safe_loading import force_safe_loading

_GUARDS = ('CheckpointGuardHook', 'DataCheckHook', 'DistillCheckHook')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share, as in MMAction2."""
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    ClearErrors.add_argument(parser)


class Options(DictAction):
    """MMEngine's ``--cfg-options``, which keep the blanks of a path."""

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        plain = val.strip('\'"')
        if ' ' in plain and not set('[](),') & set(plain):
            return plain
        return DictAction._parse_iterable(val)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, which :func:`load_config` takes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        help='settings that replace those of the config, as key=value; keys are '
        'dotted, lists are written key="[a,b]" or key=a,b',
    )


def load_config(name: str, options: Optional[Mapping[str, Any]] = None) -> Config:
    """Read a config by its path, or by a name such as ``mmvkd::distill/….py``.

    Args:
        name: Path or name.
        options: Settings that replace those of the config, by dotted key.

    Raises:
        FileNotFoundError: if there is no such file, or a base of it is missing.
        ValueError: if it or a base of it is not Python.
    """
    path = config_file(name)
    if not Path(path).is_file():
        raise FileNotFoundError(f"config '{name}' does not exist{near_files(path)}")
    try:
        config = Config.fromfile(path)
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        beside = sorted(file.stem for file in Path(error.filename).parent.glob('*.py'))
        there = f'; there are {", ".join(beside)}' if beside else ''
        raise FileNotFoundError(
            f"config '{name}' needs '{error.filename}', which does not exist{there}"
        ) from error
    except SyntaxError as error:
        raise ValueError(
            f"config '{name}', or a base of it, is not Python: {error.msg}, line "
            f'{error.lineno}: {(error.text or "").strip()}'
        ) from error
    config.setdefault('default_scope', 'mmaction')
    if options:
        config.merge_from_dict(dict(options))
    return config


def set_work_dir(config: Config, work_dir: Optional[str], name: str) -> None:
    """Decide on the work directory: argument, else config, else ``work_dirs/NAME``.

    A folder named after a base of the config holds the run of that base, so the config
    gets a folder beside it, under its own name.
    """
    own = Path(name).stem
    if work_dir is not None:
        config.work_dir = work_dir
    elif config.get('work_dir') is None:
        config.work_dir = os.path.join('work_dirs', own)
    elif Path(config.work_dir).name in _files(config) - {own}:
        config.work_dir = str(Path(config.work_dir).with_name(own))


def _files(config: Config) -> set[str]:
    """Names of the files that a config was read from, without their extension."""
    # in the config's text, each begins with a line that is the file's path
    lines = (config.text or '').splitlines()
    files = [line for line in lines if line.endswith('.py') and os.path.isfile(line)]
    return {Path(file).stem for file in files}


def build_runner(config: Config, local_rank: int = 0) -> Runner:
    """Build the config's runner, with what all of our runs rely on.

    Safe loading is on, processes without an accelerator use gloo, and the hooks that
    refuse a checkpoint or data that do not fit the model are added.

    Args:
        config: Complete, ``launcher`` and ``work_dir`` included; changed in place.
        local_rank: For launchers that do not set ``LOCAL_RANK``.

    Raises:
        FileNotFoundError: if the checkpoint to start from is missing.
        RuntimeError: if it cannot be read.
        ValueError: if ``val_interval`` is 0.
    """
    if (config.get('train_cfg') or {}).get('val_interval') == 0:
        raise ValueError('val_interval=0: --no-validate trains without validation')
    keep_freed_memory()
    # mpirun numbers the processes of a node in a variable of its own
    local = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(local_rank))
    os.environ.setdefault('LOCAL_RANK', local)
    force_safe_loading()
    _add_guards(config)
    _check_checkpoint(config)
    prepare_distributed(config)
    if 'runner_type' in config:
        return RUNNERS.build(config)
    return Runner.from_cfg(config)


def check_learning_rate(runner: Runner) -> None:
    """Warn if the learning rate is meant for another training length or batch size."""
    _check_length(runner)
    scaling = runner.cfg.get('auto_scale_lr') or {}
    loaded, meant = _batch_size(runner), scaling.get('base_batch_size')
    if scaling.get('enable') or loaded is None or meant is None:
        return
    clips = loaded * runner.world_size * _accumulated(runner)
    if clips != meant:
        runner.logger.warning(
            f'a step has {clips} clips, and the learning rate is meant for {meant}: '
            '--auto-scale-lr scales it'
        )


def scale_by_accumulation(runner: Runner) -> None:
    """Where ``auto_scale_lr`` is on, let it count all iterations of a step.

    MMEngine leaves out that the gradients of several may accumulate to one step.
    """
    scaling = runner.cfg.get('auto_scale_lr') or {}
    meant = scaling.get('base_batch_size')
    if scaling.get('enable') and meant is not None and _batch_size(runner) is not None:
        base = meant / _accumulated(runner)
        runner.auto_scale_lr = dict(scaling, base_batch_size=base)


def _batch_size(runner: Runner) -> Optional[int]:
    """Clips that each process loads in an iteration, None if it is not told."""
    return (runner.cfg.get('train_dataloader') or {}).get('batch_size')


def _accumulated(runner: Runner) -> int:
    """Iterations whose gradients accumulate to one step."""
    return runner.cfg.optim_wrapper.get('accumulative_counts', 1)


def _check_length(runner: Runner) -> None:
    """Warn if a schedule in epochs does not end with the training."""
    epochs = (runner.cfg.get('train_cfg') or {}).get('max_epochs')
    schedulers = runner.cfg.get('param_scheduler') or []
    alone = isinstance(schedulers, Mapping)
    # those of several optimizers are there by name
    if epochs is None or (alone and 'type' not in schedulers):
        return
    for i, scheduler in enumerate([schedulers] if alone else schedulers):
        place = '' if alone else f'.{i}'
        falls = short_type(scheduler['type']) not in ('LinearLR', 'ConstantLR')
        end = scheduler.get('end', epochs)
        if falls and scheduler.get('by_epoch', True) and end != epochs:
            runner.logger.warning(
                f'training takes {epochs} epochs, and its learning rate falls until '
                f'epoch {end}: set param_scheduler{place}.end, and its milestones if '
                'it has some'
            )


def _add_guards(config: Config) -> None:
    hooks = list(config.get('custom_hooks') or [])
    kinds = [h.get('type') if isinstance(h, Mapping) else type(h) for h in hooks]
    there = set(map(short_type, kinds))
    hooks += [dict(type=f'mmvkd.{name}') for name in _GUARDS if name not in there]
    config.custom_hooks = hooks


def _check_checkpoint(config: Config) -> None:
    """Read a local checkpoint once, before anything is built for it."""
    path, resume = config.get('load_from'), bool(config.get('resume'))
    if path is None and resume:
        path = find_checkpoint(config.work_dir, best=False)
    if path is None or '://' in str(path):
        return
    # a run's folder means its best checkpoint, or its last one when resuming
    found = find_checkpoint(path, best=not resume)
    if found is None:
        raise FileNotFoundError(not_found(path, best=not resume))
    config.load_from = found
    read_checkpoint(found)
