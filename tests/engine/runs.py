"""Small real runs in child processes, which may be killed at a chosen place.

A server process imports everything once; each run is a fork of it, so it starts in no
time and shares nothing with the test's process.
"""

from __future__ import annotations

import builtins
import logging
import multiprocessing
import os
import random
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import numpy as np
import torch
from mmaction.evaluation import AccMetric
from mmaction.utils import register_all_modules
from mmengine.config import Config
from mmengine.config import config as config_module
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS, METRICS, init_default_scope
from mmengine.runner import Runner
from toys import tiny_tsm
from videos import dataset

import mmvkd.datasets
import mmvkd.engine
import mmvkd.models  # noqa: F401
from mmvkd.engine.hooks import checkpoint as checkpoint_module

# the server imports all that a run needs, once
register_all_modules(init_default_scope=False)

SERVER = multiprocessing.get_context('forkserver')


def fork(*calls: tuple[Callable, tuple], timeout: float = 300) -> list[int]:
    """Run functions in child processes at the same time.

    Args:
        *calls: A function and its arguments each.
        timeout: Seconds after which a child counts as hanging.

    Returns:
        Their exit codes; −9 for a killed one.
    """
    with _environment():
        SERVER.set_forkserver_preload(['runs'])
        children = [SERVER.Process(target=_guarded, args=call) for call in calls]
        for child in children:
            child.start()
    for child in children:
        child.join(timeout)
        if child.is_alive():
            child.kill()
            child.join()
            raise TimeoutError(f'a child process did not end in {timeout} s')
    return [child.exitcode for child in children]


@contextmanager
def _environment() -> Iterator[None]:
    """What the server takes on when it starts: this path, one thread, no device."""
    wanted = dict(
        PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path),
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
    )
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _guarded(function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmaction')
    # forks of one server would draw the same seeds
    np.random.seed()
    random.seed()
    torch.seed()
    try:
        function(*args)
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def die() -> None:
    """What a power cut does: no clean-up of any kind."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillHook(Hook):
    """Kills the process in a training or a validation iteration.

    Args:
        where: ``train`` or ``val``.
        epoch: Counted from 1.
        iteration: Of that epoch, from 0.
    """

    priority = 'LOWEST'

    def __init__(self, where: str, epoch: int, iteration: int) -> None:
        self.place = where, epoch, iteration

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        if self.place == ('train', runner.epoch + 1, batch_idx):
            die()

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        if self.place == ('val', runner.epoch, batch_idx):
            die()


class StagedMetric(AccMetric):
    """Accuracy, and a score that is the best at the first and the last of 3 epochs."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        metrics = super().compute_metrics(results)
        epoch = MessageHub.get_current_instance().get_info('epoch') or 0
        return dict(metrics, staged=(1.0, 0.0, 2.0)[epoch] + metrics['top1'] / 100)


if 'KillHook' not in HOOKS:
    HOOKS.register_module(module=KillHook)
    METRICS.register_module(module=StagedMetric)


def kill_in_write(name: str, nth: int = 1) -> None:
    """Kill this process half-way through the ``nth`` write of a file named ``name``."""
    seen = []

    def opened(path: Any, mode: str = 'r') -> Any:
        file = builtins.open(path, mode)  # noqa: SIM115
        if name in Path(path).name:
            seen.append(path)
        if len(seen) == nth and seen[-1] == path:
            write = file.write

            class Half:
                """A file that takes half of the bytes."""

                def __enter__(self) -> Half:
                    return self

                def __exit__(self, *error: Any) -> None:
                    file.close()

                def write(self, data: bytes) -> None:
                    write(data[: len(data) // 2])
                    file.flush()
                    die()

            return Half()
        return file

    vars(checkpoint_module)['open'] = opened


def kill_after_rename(name: str, nth: int = 1) -> None:
    """Kill this process as soon as a file named ``name`` is whole, the ``nth`` time."""
    replace = os.replace
    seen = []

    def replaced(source: Any, target: Any) -> None:
        replace(source, target)
        if Path(target).name == name:
            seen.append(target)
            if len(seen) == nth:
                die()

    os.replace = replaced


def tiny_student(frames: int = 4) -> dict[str, Any]:
    """Config of a TSN of two stages: 0.7 million parameters."""
    config = tiny_tsm(frames=frames)
    config['backbone'] = dict(
        type='ResNet',
        depth=18,
        pretrained=None,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    )
    config['cls_head'].update(type='TSNHead', in_channels=128)
    del config['cls_head']['num_segments']
    return config


def tiny_distiller(checkpoint: str = 'random') -> dict[str, Any]:
    """Config of a distiller with a TSM-R18 teacher and four heads."""
    return dict(
        type='mmvkd.VideoDistiller',
        student=tiny_student(),
        teachers=dict(
            tsm=dict(
                type='mmvkd.RecognizerTeacher', model=tiny_tsm(), checkpoint=checkpoint
            )
        ),
        heads=dict(
            kd=dict(type='mmvkd.KDHead'),
            dist=dict(type='mmvkd.DISTHead'),
            fitnets=dict(
                type='mmvkd.FitNetsHead',
                tap='backbone.layer2',
                teacher_tap='backbone.layer3',
            ),
            graph=dict(
                type='mmvkd.RepresentationGraphHead',
                tap='backbone.layer2',
                teacher_tap='backbone.layer3',
                pool='clip',
                joint=False,
                dim=16,
                edges='learned',
            ),
        ),
    )


def run_config(
    work_dir: str,
    train: str,
    val: str,
    workers: int = 0,
    epochs: int = 3,
    batch_size: int = 2,
    **changes: Any,
) -> Config:
    """Config of a training run with all of our hooks.

    Args:
        work_dir: Where checkpoints go.
        train: Annotation list.
        val: Likewise.
        workers: Of each data loader; they persist.
        epochs: Validated each.
        batch_size: Of training.
        **changes: Merged into the config, as ``--cfg-options`` are.
    """

    def loader(data: dict, sampler: dict, size: int) -> dict[str, Any]:
        return dict(
            batch_size=size,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=sampler,
            dataset=data,
        )

    config = Config(
        dict(
            default_scope='mmaction',
            work_dir=work_dir,
            model=tiny_distiller(),
            train_dataloader=loader(
                dataset(train), dict(type='mmvkd.SeededSampler'), batch_size
            ),
            val_dataloader=loader(
                dataset(val, augment=False, test_mode=True),
                dict(type='DefaultSampler', shuffle=False),
                2,
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
            val_cfg=dict(),
            val_evaluator=dict(type='StagedMetric'),
            optim_wrapper=dict(
                constructor='mmvkd.DistillOptimWrapperConstructor',
                optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
                clip_grad=dict(max_norm=5.0),
            ),
            param_scheduler=[dict(type='MultiStepLR', milestones=[2], by_epoch=True)],
            default_hooks=dict(
                runtime_info=dict(type='RuntimeInfoHook'),
                logger=dict(type='LoggerHook', interval=1),
                param_scheduler=dict(type='ParamSchedulerHook'),
                sampler_seed=dict(type='DistSamplerSeedHook'),
                checkpoint=dict(
                    type='mmvkd.AtomicCheckpointHook',
                    interval=1,
                    max_keep_ckpts=1,
                    save_best='acc/staged',
                    rule='greater',
                ),
            ),
            custom_hooks=[
                dict(type='mmvkd.SeedingHook'),
                dict(type='mmvkd.CheckpointGuardHook'),
                dict(type='mmvkd.ExactResumeHook'),
            ],
            randomness=dict(seed=3),
            log_level='ERROR',
        )
    )
    config.merge_from_dict(changes)
    return config


def train(
    config: dict[str, Any], kill: Optional[tuple] = None, resume: bool = False
) -> None:
    """Run a training; the body of a child process.

    Args:
        config: For the Runner.
        kill: ``train`` or ``val`` with epoch and iteration, ``write`` or ``rename``
            with a name and a count; None to live.
        resume: From the last checkpoint, if there is one.
    """
    config = Config(config)
    logging.disable(logging.WARNING)
    # writing the config prettily into each checkpoint takes longer than the training
    vars(config_module)['FormatCode'] = lambda text, **style: (text, True)
    if resume:
        config.resume = True
    if config.optim_wrapper.get('type') == 'AmpOptimWrapper':
        _allow_amp_on_the_host()
    if kill is not None:
        where, *place = kill
        if where == 'write':
            kill_in_write(*place)
        elif where == 'rename':
            kill_after_rename(*place)
        else:
            names = ('where', 'epoch', 'iteration')
            hook = dict(zip(names, kill), type='KillHook')
            config.custom_hooks.append(hook)
    Runner.from_cfg(config).train()


def _allow_amp_on_the_host() -> None:
    """MMEngine's wrapper insists on a device, though bfloat16 runs on any host."""
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    vars(amp_optimizer_wrapper)['is_cuda_available'] = lambda: True
