"""What comes before a Runner: safe loading, and processes without an accelerator."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from runner_toys import runner

from mmvkd.engine import distributed, launch
from mmvkd.engine.distributed import prepare_distributed
from mmvkd.engine.launch import add_cfg_options
from mmvkd.safe_loading import force_safe_loading

on_cpu = pytest.mark.skipif(get_device() != 'cpu', reason='an accelerator is there')


def test_our_tools_force_safe_loading_only_where_it_is_not_the_default(
    monkeypatch: pytest.MonkeyPatch, no_forced_loading: None
) -> None:
    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    monkeypatch.setenv(name, '')
    monkeypatch.delenv(name)
    monkeypatch.setattr(torch, '__version__', '2.6.0+cpu')
    force_safe_loading()
    assert name not in os.environ
    monkeypatch.setattr(torch, '__version__', '2.5.1')
    force_safe_loading()
    assert os.environ[name] == '1'


def test_a_user_who_turned_safe_loading_off_keeps_it_off(
    monkeypatch: pytest.MonkeyPatch, no_forced_loading: None
) -> None:
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setattr(torch, '__version__', '2.4.1')
    force_safe_loading()
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


@on_cpu
def test_without_preparation_a_launcher_needs_an_accelerator(
    tmp_path: Path, one_process: None
) -> None:
    with pytest.raises((RuntimeError, AssertionError), match=r'(?i)cuda|nvidia'):
        runner(tmp_path, launcher='pytorch')


@on_cpu
@pytest.mark.parametrize('launcher', ['pytorch', 'slurm'])
def test_a_launcher_trains_on_gloo_without_an_accelerator(
    tmp_path: Path,
    one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    launcher: str,
) -> None:
    if launcher == 'slurm':
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
            monkeypatch.setenv(name, 'replaced')
        for name, value in (('PROCID', '0'), ('NTASKS', '1'), ('LOCALID', '0')):
            monkeypatch.setenv(f'SLURM_{name}', value)
    cfg = Config(dict(launcher=launcher, env_cfg=dict(dist_cfg=dict(timeout=60))))
    prepare_distributed(cfg)
    assert torch.distributed.get_backend() == 'gloo'
    made = runner(tmp_path, launcher=launcher, cfg=cfg)
    made.train()
    assert isinstance(made.model, torch.nn.parallel.DistributedDataParallel)
    assert made.iter == 2


@on_cpu
def test_a_configured_wrapper_is_kept(one_process: None) -> None:
    wrapper = dict(type='MMDistributedDataParallel', find_unused_parameters=True)
    cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=wrapper))
    prepare_distributed(cfg)
    assert cfg.model_wrapper_cfg == {**wrapper, 'device_ids': None}


def test_without_a_launcher_nothing_is_prepared() -> None:
    cfg = Config(dict(launcher='none'))
    prepare_distributed(cfg)
    assert cfg.to_dict() == dict(launcher='none')


@on_cpu
def test_a_launcher_that_cannot_work_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="launcher 'mpi' needs an accelerator"):
        prepare_distributed(Config(dict(launcher='mpi')))
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(ValueError, match=r'not set: .*RANK'):
        prepare_distributed(Config(dict(launcher='pytorch')))


def test_more_processes_than_gpus_are_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    config = Config(dict(launcher='pytorch'))
    monkeypatch.setenv('LOCAL_RANK', '0')
    prepare_distributed(config)
    monkeypatch.setenv('LOCAL_RANK', '1')
    with pytest.raises(ValueError, match='2 processes, and torch sees 1 GPU here'):
        prepare_distributed(config)


def test_mpirun_says_which_process_of_its_node_this_is(
    monkeypatch: pytest.MonkeyPatch, no_forced_loading: None
) -> None:
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_RANK', '3')
    monkeypatch.setattr(launch.RUNNERS, 'build', lambda config: config)
    launch.build_runner(Config(dict(launcher='none', runner_type='any')))
    assert os.environ.pop('LOCAL_RANK') == '3'


def test_options_keep_the_blanks_of_a_path() -> None:
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    words = ['a=/my clips/x.pth', "b='/my clips/y'", 'c=[1, 2]', 'd=3', 'e=x, y']
    assert parser.parse_args(['--cfg-options', *words]).cfg_options == dict(
        a='/my clips/x.pth', b='/my clips/y', c=[1, 2], d=3, e=['x', 'y']
    )


@pytest.mark.parametrize(
    ('resume', 'expected'),
    [
        (False, 'expected best_*.pth or a file that last_checkpoint names'),
        (True, 'expected a file that last_checkpoint names'),
    ],
)
def test_a_folder_without_a_checkpoint_is_told_from_one_that_is_missing(
    tmp_path: Path, no_forced_loading: None, resume: bool, expected: str
) -> None:
    (tmp_path / 'last_checkpoint').write_text('gone.pth')
    for folder, told in (
        (tmp_path, f"folder '{tmp_path}' has no checkpoint, {expected}"),
        (tmp_path / 'none', f"checkpoint '{tmp_path}/none' is missing"),
    ):
        config = dict(launcher='none', load_from=str(folder), resume=resume)
        with pytest.raises(FileNotFoundError, match=f'^{re.escape(told)}$'):
            launch.build_runner(Config(config))


def test_a_config_that_does_not_exist_has_the_names_near_it(tmp_path: Path) -> None:
    for name in ('kd_r50_to_r18.py', 'teacher.py'):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError) as error:
        launch.load_config(str(tmp_path / 'kd_r50_r18.py'))
    assert str(error.value).endswith(f'; near: {tmp_path / "kd_r50_to_r18.py"}')
