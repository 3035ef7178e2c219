"""A launcher's process group: gloo without an accelerator, and left in the end."""

from __future__ import annotations

import contextlib
import datetime
import gc
import os
import subprocess
from typing import Any, Optional

import torch
from mmengine.device import get_device


def prepare_distributed(cfg: Any) -> None:
    """Make a launcher work without an accelerator, before the Runner is built.

    Symptom: MMEngine's ``init_dist`` calls ``torch.cuda.set_device`` and dies, and its
    ``MMDistributedDataParallel`` is given a device index that a CPU model refuses.
    Condition: ``cfg.launcher`` is not ``'none'`` and there is no accelerator. A gloo
    group is started, which the Runner keeps, and ``cfg.model_wrapper_cfg`` gets
    ``device_ids=None``. Upstream: ``mmengine/dist/utils.py``,
    ``Runner.wrap_model``.

    Args:
        cfg: The config that goes to the Runner; changed in place.

    Raises:
        ValueError: if the launcher cannot be used without an accelerator, or has
            started more processes here than there are GPUs.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'pytorch' and get_device() == 'cuda':
        _check_room(torch.cuda.device_count())
    if launcher == 'none' or get_device() != 'cpu':
        return
    wrapper = cfg.get('model_wrapper_cfg')
    if wrapper is None:
        # The Runner's default.
        wrapper = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    wrapper.setdefault('device_ids', None)
    cfg['model_wrapper_cfg'] = wrapper
    if torch.distributed.is_initialized():
        return
    settings = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    if launcher == 'slurm':
        _slurm_environment(settings.get('port'))
    elif launcher != 'pytorch':
        raise ValueError(
            f'launcher {launcher!r} needs an accelerator and none was found; '
            "without one use 'pytorch' or 'slurm'"
        )
    missing = [
        name
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
        if name not in os.environ
    ]
    if missing:
        raise ValueError(
            f'launcher {launcher!r} expects the environment of torchrun or srun; '
            f'not set: {", ".join(missing)}'
        )
    options: dict[str, Any] = {}
    if settings.get('timeout') is not None:
        options['timeout'] = datetime.timedelta(seconds=settings['timeout'])
    torch.distributed.init_process_group('gloo', **options)


def shut_down() -> None:
    """Leave the process group, once nothing refers to the runner any more.

    NCCL requires it. The threads of gloo live as long as a wrapped model holds the
    group, and an interpreter that ends before them may abort.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()


def _check_room(gpus: int) -> None:
    """Refuse a process that has no GPU of its own, which MMEngine would die of."""
    if int(os.environ.get('LOCAL_RANK', 0)) >= gpus:
        count = os.environ.get('LOCAL_WORLD_SIZE', 'several')
        raise ValueError(
            f'{count} processes, and torch sees {gpus} GPU{"s" * (gpus > 1)} here: '
            f"start at most {gpus}, or set CUDA_VISIBLE_DEVICES='' to use the CPU"
        )


def _slurm_environment(port: Optional[int]) -> None:
    """Translate Slurm's variables of this task to those of torchrun."""
    for name, source in (
        ('RANK', 'SLURM_PROCID'),
        ('WORLD_SIZE', 'SLURM_NTASKS'),
        ('LOCAL_RANK', 'SLURM_LOCALID'),
    ):
        if source in os.environ:
            os.environ[name] = os.environ[source]
    if port is not None:
        os.environ['MASTER_PORT'] = str(port)
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ and 'SLURM_NODELIST' in os.environ:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            nodes = subprocess.check_output(
                ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']],
                text=True,
            )
            os.environ['MASTER_ADDR'] = nodes.split()[0]
