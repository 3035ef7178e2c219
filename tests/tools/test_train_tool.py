"""tools/train.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from small_project import TOOLS, Project, load_tool, tool
from toys import tiny_tsm

train = tool('train')


def merged(config: str, *flags: str) -> Config:
    """The config that training would run with."""
    module = load_tool(TOOLS / 'train.py')
    settings = Config.fromfile(config)
    module.merge_args(settings, module.parse_args([config, *flags]))
    return settings


def test_training_writes_the_student_under_its_plain_names(checkpoint: str) -> None:
    from mmaction.registry import MODELS

    saved = torch.load(checkpoint, weights_only=True)['state_dict']
    plain = MODELS.build(tiny_tsm()).state_dict()
    extra = {key for key in saved if key not in plain}
    assert set(plain) <= set(saved)
    assert extra and all(key.startswith('distill.') for key in extra)


def test_flags_end_up_in_the_config(project: Project, tmp_path: Path) -> None:
    base = project.config('flags', auto_scale_lr=dict(base_batch_size=8))
    config = merged(
        base,
        *('--work-dir', str(tmp_path)),
        '--amp',
        '--no-validate',
        '--auto-scale-lr',
        *('--seed', '11'),
        '--diff-rank-seed',
        '--deterministic',
        *('--launcher', 'pytorch'),
    )
    assert config.work_dir == str(tmp_path)
    assert config.optim_wrapper.type == 'AmpOptimWrapper'
    assert config.optim_wrapper.loss_scale == 'dynamic'
    assert config.val_cfg is config.val_dataloader is config.val_evaluator is None
    assert config.auto_scale_lr.enable
    assert config.randomness == dict(seed=11, diff_rank_seed=True, deterministic=True)
    assert config.launcher == 'pytorch'


def test_a_config_without_a_seed_is_trained(project: Project) -> None:
    train([project.config('seedless', randomness={})])
    assert (project.folder / 'work' / 'seedless' / 'epoch_1.pth').is_file()


def test_a_rate_for_another_number_of_clips_is_told(
    project: Project, capsys: pytest.CaptureFixture
) -> None:
    base = project.config('rates', auto_scale_lr=dict(base_batch_size=16))
    train([base])
    told = capsys.readouterr()
    assert 'the learning rate is meant for 16: --auto-scale-lr' in told.out + told.err
    train([base, '--auto-scale-lr'])
    told = capsys.readouterr()
    assert 'is meant for' not in told.out + told.err
    # two clips an iteration, eight iterations a step
    train([base, '--cfg-options', 'optim_wrapper.accumulative_counts=8'])
    told = capsys.readouterr()
    assert 'is meant for' not in told.out + told.err


@pytest.mark.parametrize('options', [[], ['optim_wrapper.accumulative_counts=4']])
def test_a_scaled_rate_counts_the_iterations_of_a_step(
    project: Project, options: list[str]
) -> None:
    base = project.config('scaled', auto_scale_lr=dict(base_batch_size=16))
    train([base, '--auto-scale-lr', *(['--cfg-options', *options] if options else [])])
    folder = project.folder / 'work' / 'scaled'
    saved = torch.load(folder / 'epoch_1.pth', weights_only=True)['optimizer']
    # two clips an iteration
    rate = 0.01 * 2 * (4 if options else 1) / 16
    assert saved['param_groups'][0]['lr'] == pytest.approx(rate)
    # a run of the config that was kept would be scaled alike
    assert Config.fromfile(folder / 'scaled.py').auto_scale_lr.base_batch_size == 16


def test_without_flags_the_config_decides(project: Project) -> None:
    config = merged(project.config('plain'))
    assert config.work_dir == str(project.folder / 'work' / 'plain')
    assert config.randomness == dict(seed=3)
    assert config.val_cfg is not None
    assert not config.get('resume')


def test_the_work_directory_is_named_after_the_config(project: Project) -> None:
    config = merged(project.config('nameless', work_dir=None))
    assert Path(config.work_dir) == Path('work_dirs/nameless')


def test_a_child_config_has_a_folder_beside_its_bases(project: Project) -> None:
    project.config('above')
    child = str(project.folder / 'child.py')
    Path(child).write_text("_base_ = ['./above.py']\n")
    assert merged(child).work_dir == str(project.folder / 'work' / 'child')
    grandchild = project.folder / 'grandchild.py'
    grandchild.write_text("_base_ = ['./child.py']\n")
    work = project.folder / 'work' / 'grandchild'
    assert merged(str(grandchild)).work_dir == str(work)
    assert merged(child, '--work-dir', 'mine').work_dir == 'mine'


def test_ours_and_what_inherits_them_have_their_own_folders(tmp_path: Path) -> None:
    from mmvkd.engine.launch import load_config, set_work_dir

    ours = 'mmvkd::distill/kd_tsm_r50_to_r18.py'
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['{ours}']\n")
    for config, folder in ((ours, 'kd_tsm_r50_to_r18'), (str(child), 'child')):
        loaded = load_config(config)
        set_work_dir(loaded, None, config)
        assert loaded.work_dir == f'work_dirs/{loaded.dataset}/{folder}'


WARMUP = dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=5)


@pytest.mark.parametrize('warmup', [[WARMUP], []])
@pytest.mark.parametrize('end', [1, 7])
def test_a_schedule_of_another_length_is_told(
    project: Project, tmp_path: Path, end: int, warmup: list[dict]
) -> None:
    falling = dict(type='MultiStepLR', by_epoch=True, end=end, milestones=[1])
    schedule: Any = [*warmup, falling] if warmup else falling
    config = project.config('schedule', param_scheduler=schedule, log_level='INFO')
    tool('train')([config, '--work-dir', str(tmp_path)])
    (log,) = tmp_path.glob('*/*.log')
    told = 'takes 1 epochs, and its learning rate falls until epoch 7: set param'
    assert (told in log.read_text()) == (end == 7)


def test_options_of_validation_may_stand_beside_no_validate(project: Project) -> None:
    base = project.config('unvalidated')
    options = ('--cfg-options', 'val_dataloader.batch_size=4')
    assert merged(base, '--no-validate', *options).val_dataloader is None


def test_resume_takes_a_named_checkpoint(project: Project) -> None:
    config = merged(project.config('plain'), '--resume', 'a.pth')
    assert (config.resume, config.load_from) == (True, 'a.pth')


def test_resume_takes_the_last_checkpoint_once_there_is_one(
    project: Project, tmp_path: Path
) -> None:
    flags = ('--work-dir', str(tmp_path), '--resume')
    options = ('--cfg-options', 'load_from=warm.pth')
    config = merged(project.config('plain'), *flags, *options)
    # killed before its first checkpoint, it begins as it did
    assert not config.get('resume') and config.load_from == 'warm.pth'
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    config = merged(project.config('plain'), *flags, *options)
    assert (config.resume, config.load_from) == (True, None)


def test_cfg_options_win(project: Project) -> None:
    config = merged(
        project.config('plain'),
        *('--seed', '1', '--cfg-options', 'randomness.seed=2'),
        *('train_dataloader.dataset.dataset.pipeline.0.num_threads=2', 'a.b=[1,2]'),
    )
    assert config.randomness.seed == 2
    assert config.train_dataloader.dataset.dataset.pipeline[0].num_threads == 2
    assert config.a.b == [1, 2]


def test_resume_goes_on_to_the_same_end_in_a_folder_that_was_moved(
    project: Project, tmp_path: Path
) -> None:
    config = project.config('resumed')
    to_two = ['--cfg-options', 'train_cfg.max_epochs=2']
    train([config, '--work-dir', str(tmp_path / 'whole'), *to_two])
    train([config, '--work-dir', str(tmp_path / 'begun')])
    (tmp_path / 'begun').rename(tmp_path / 'parts')
    train([config, '--work-dir', str(tmp_path / 'parts'), '--resume', *to_two])
    whole, parts = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=True)['state_dict']
        for name in ('whole', 'parts')
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_the_folder_of_a_run_is_its_last_checkpoint_when_it_is_resumed(
    project: Project, tmp_path: Path
) -> None:
    config = project.config('folder')
    train([config, '--work-dir', str(tmp_path / 'a')])
    options = ['--cfg-options', 'train_cfg.max_epochs=2']
    there = ['--resume', str(tmp_path / 'a'), '--work-dir', str(tmp_path / 'b')]
    train([config, *there, *options])
    saved = torch.load(tmp_path / 'b' / 'epoch_2.pth', weights_only=True)
    assert saved['meta']['epoch'] == 2
    assert not (tmp_path / 'b' / 'epoch_1.pth').exists()


def test_a_plain_checkpoint_is_a_warm_start(
    project: Project, checkpoint: str, tmp_path: Path
) -> None:
    tool('export_student')([checkpoint, str(tmp_path / 'student.pth')])
    start = torch.load(tmp_path / 'student.pth', weights_only=True)['state_dict']
    train(
        [
            project.distiller('warm'),
            *('--work-dir', str(tmp_path)),
            '--cfg-options',
            f'load_from={tmp_path / "student.pth"}',
            'optim_wrapper.optimizer.lr=0.0',
        ]
    )
    end = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['state_dict']
    key = 'cls_head.fc_cls.weight'
    assert torch.equal(start[key], end[key])


def test_runner_type_builds_a_runner_of_the_users(
    project: Project, tmp_path: Path
) -> None:
    from mmaction.registry import RUNNERS
    from mmengine.runner import Runner

    trained = []

    class OwnRunner(Runner):
        def train(self) -> Any:
            trained.append(self.work_dir)
            return self.model

    RUNNERS.register_module(name='OwnRunner', module=OwnRunner, force=True)
    try:
        train([project.config('own', runner_type='OwnRunner')])
    finally:
        RUNNERS.module_dict.pop('OwnRunner')
    assert trained == [str(project.folder / 'work' / 'own')]


def test_our_hooks_are_there_once(project: Project) -> None:
    from mmvkd.engine.launch import build_runner

    own = dict(type='mmvkd.CheckpointGuardHook')
    config = Config.fromfile(project.config('hooks', custom_hooks=[own]))
    names = [type(hook).__name__ for hook in build_runner(config).hooks]
    assert names.count('CheckpointGuardHook') == 1
    assert names.count('DataCheckHook') == 1


@pytest.mark.parametrize(
    ('backend', 'package', 'trace'),
    [
        ('TensorboardVisBackend', 'tensorboard', 'events.out.tfevents*'),
        ('WandbVisBackend', 'wandb', '*wandb*'),
    ],
)
def test_other_loggers_are_one_option_away(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    package: str,
    trace: str,
) -> None:
    pytest.importorskip(package)
    monkeypatch.setenv('WANDB_MODE', 'offline')
    config = project.config(
        'logged',
        visualizer=dict(
            type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
    )
    options = ['--cfg-options', f'visualizer.vis_backends.0.type={backend}']
    train([config, '--no-validate', '--work-dir', str(tmp_path), *options])
    assert list(tmp_path.rglob(trace))
