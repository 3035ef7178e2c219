"""A run that was killed and resumed is the uninterrupted one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from runs import fork, run_config, train
from torch import Tensor
from toys import tiny_tsm
from videos import write_list

from mmvkd.engine.hooks import resume

SLOW = ('time', 'data_time', 'memory')
"""What is measured, and differs from run to run."""

TOLD = ('cfg', 'seed', 'experiment_name', 'exp_name', 'time', 'mmengine_version')
"""What a checkpoint says of the run, its folder and the version of the checkout."""

# 6 iterations an epoch: gradients of 2 are pending at the end of the first
EVERYTHING: dict[str, Any] = dict(
    custom_hooks=[
        dict(type='mmvkd.SeedingHook'),
        dict(type='mmvkd.CheckpointGuardHook'),
        dict(type='mmvkd.ExactResumeHook'),
        dict(type='EMAHook', momentum=0.3),
    ],
    optim_wrapper=dict(type='AmpOptimWrapper', dtype='bfloat16', accumulative_counts=4),
)


@dataclass(frozen=True)
class Run:
    """A training in its folder."""

    folder: Path
    train: str
    val: str

    def go(
        self,
        kill: Optional[tuple] = None,
        resume: bool = False,
        workers: int = 0,
        changes: Optional[dict[str, Any]] = None,
    ) -> int:
        """Start it or resume it; gives the exit code."""
        config = run_config(
            str(self.folder), self.train, self.val, workers, **(changes or {})
        )
        return fork((train, (config.to_dict(), kill, resume)))[0]

    def files(self) -> list[str]:
        """All files of checkpoints, half-written ones included."""
        paths = (*self.folder.glob('*.pth*'), *self.folder.glob('.*'))
        return sorted(path.name for path in paths)

    def last(self) -> dict[str, Any]:
        """What ``last_checkpoint`` points to."""
        path = Path((self.folder / 'last_checkpoint').read_text())
        return torch.load(path, weights_only=True)


def outcome(run: Run) -> dict[str, Any]:
    """All that must be equal in two runs: files, and what is in them."""
    return {
        name: _comparable(torch.load(run.folder / name, weights_only=True))
        for name in run.files()
    }


def _comparable(value: Any) -> Any:
    """Plain values that ``==`` compares bit for bit, without times and folders."""
    if isinstance(value, Tensor):
        # bytes tell −0 from 0, and a NaN is equal to itself
        return str(value.dtype), tuple(value.shape), value.numpy(force=True).tobytes()
    if isinstance(value, HistoryBuffer):
        return [array.tolist() for array in value.data]
    if isinstance(value, dict):
        kept = {
            k: _comparable(x)
            for k, x in value.items()
            if k not in TOLD and str(k).rpartition('/')[2] not in SLOW
        }
        return kept
    if isinstance(value, (list, tuple)):
        return [_comparable(x) for x in value]
    if isinstance(value, str) and value.endswith('.pth'):
        return Path(value).name
    return value


def assert_equal(one: Run, other: Run) -> None:
    """Both runs left the same files with the same contents."""
    first, second = outcome(one), outcome(other)
    assert sorted(first) == sorted(second)
    for name in first:
        assert sorted(first[name]) == sorted(second[name]), name
        for part in first[name]:
            assert first[name][part] == second[name][part], (name, part)


@pytest.fixture(scope='module')
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Lists of 12 training clips and 8 for validation."""
    folder = tmp_path_factory.mktemp('clips')
    return write_list(folder, 12), write_list(folder, 8, 'val')


@pytest.fixture(scope='module')
def uninterrupted(
    lists: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run without workers that nothing disturbs."""
    run = Run(tmp_path_factory.mktemp('uninterrupted'), *lists)
    assert run.go() == 0
    return run


def test_the_reference_run_learns_validates_and_keeps_its_best(
    uninterrupted: Run,
) -> None:
    assert uninterrupted.files() == ['best_acc_staged_epoch_3.pth', 'epoch_3.pth']
    scalars = uninterrupted.last()['message_hub']['log_scalars']
    assert len(scalars['val/acc/top1'].data[0]) == 3
    assert len(set(scalars['train/loss'].data[0].tolist())) == 18
    assert any(key.startswith('distill.') for key in uninterrupted.last()['state_dict'])


def test_two_workers_give_the_run_of_none(uninterrupted: Run, tmp_path: Path) -> None:
    other = replace(uninterrupted, folder=tmp_path / 'work')
    assert other.go(workers=2) == 0
    assert_equal(other, uninterrupted)


@pytest.mark.parametrize(
    ('kill', 'workers'),
    [
        pytest.param(('train', 1, 4), (0, 0), id='in the first epoch'),
        pytest.param(('train', 2, 3), (2, 2), id='in an epoch, two workers'),
        pytest.param(('val', 2, 1), (0, 2), id='in validation, then two workers'),
        pytest.param(('val', 3, 3), (0, 0), id='in the last validation'),
        pytest.param(('write', 'epoch_2.pth', 1), (0, 0), id='writing a checkpoint'),
        pytest.param(('write', 'best', 1), (0, 0), id='writing the best'),
        pytest.param(('write', 'last', 3), (0, 0), id='writing the pointer'),
        pytest.param(('rename', 'epoch_2.pth', 1), (0, 0), id='before the pointer'),
        pytest.param(('rename', 'last_checkpoint', 3), (0, 0), id='after the pointer'),
    ],
)
def test_a_run_killed_anywhere_ends_like_the_uninterrupted_one(
    uninterrupted: Run, tmp_path: Path, kill: tuple, workers: tuple[int, int]
) -> None:
    run = replace(uninterrupted, folder=tmp_path / 'work')
    assert run.go(kill, workers=workers[0]) == -9
    if (run.folder / 'last_checkpoint').exists():
        assert run.last()['meta']['epoch'] in (1, 2, 3)
    assert run.go(resume=True, workers=workers[1]) == 0
    assert_equal(run, uninterrupted)


def test_a_validation_that_a_changed_interval_asks_for_is_made_up_for(
    lists: tuple[str, str], tmp_path: Path
) -> None:
    changes = {
        'train_cfg.val_interval': 3,
        'train_cfg.dynamic_intervals': [(2, 1)],
        'default_hooks.checkpoint.save_best': None,
    }
    run = Run(tmp_path / 'work', *lists)
    assert run.go(('val', 2, 0), changes=changes) == -9
    assert run.go(resume=True, changes=changes) == 0
    scalars = run.last()['message_hub']['log_scalars']
    # of the epochs 2 and 3
    assert len(scalars['val/acc/top1'].data[0]) == 2


def test_accumulation_averaging_and_mixed_precision_resume_exactly_twice(
    uninterrupted: Run, tmp_path: Path
) -> None:
    reference = replace(uninterrupted, folder=tmp_path / 'a')
    assert reference.go(changes=EVERYTHING) == 0
    run = replace(uninterrupted, folder=tmp_path / 'b')
    assert run.go(('val', 1, 2), changes=EVERYTHING) == -9
    checkpoint = run.last()
    assert any(g is not None for g in checkpoint['mmvkd_accumulated_gradients'])
    assert 'steps' in checkpoint['ema_state_dict']
    # the validation is made up for and its checkpoint written again; then the end comes
    assert run.go(('train', 2, 0), resume=True, changes=EVERYTHING) == -9
    assert run.go(('val', 3, 0), resume=True, changes=EVERYTHING) == -9
    assert run.go(resume=True, changes=EVERYTHING) == 0
    assert_equal(run, reference)


def mutual() -> dict[str, Any]:
    """Changes that let the teacher learn; a merge takes their ``_delete_`` away."""
    parameter = dict(
        _delete_=True,
        type='mmvkd.ParameterHead',
        stages={'backbone.layer2': 'backbone.layer2'},
        interval=4,
        max_filters=256,
    )
    balancer = dict(type='mmvkd.UncertaintyBalancer')
    heads = dict(graph=parameter)
    return dict(model=dict(mutual=True, heads=heads, balancer=balancer))


def test_a_run_whose_teacher_learns_resumes_exactly(
    uninterrupted: Run, tmp_path: Path
) -> None:
    reference = replace(uninterrupted, folder=tmp_path / 'a')
    assert reference.go(changes=mutual()) == 0
    run = replace(uninterrupted, folder=tmp_path / 'b')
    assert run.go(('train', 2, 3), changes=mutual()) == -9
    key = 'distill.teachers.tsm.cls_head.fc_cls.weight'
    before = run.last()['state_dict'][key]
    assert run.go(resume=True, changes=mutual()) == 0
    assert not torch.equal(run.last()['state_dict'][key], before)
    assert_equal(run, reference)


def test_a_run_without_a_seed_in_its_config_resumes_with_the_one_it_drew(
    uninterrupted: Run, tmp_path: Path
) -> None:
    teacher = str(tmp_path / 'teacher.pth')
    torch.save(MODELS.build(tiny_tsm()).state_dict(), teacher)
    model = dict(teachers=dict(tsm=dict(checkpoint=teacher)))
    run = replace(uninterrupted, folder=tmp_path / 'killed')
    drawn = dict(randomness=dict(seed=None), model=model)
    assert run.go(('train', 2, 1), changes=drawn) == -9
    seed = run.last()['meta']['seed']
    assert run.go(resume=True, changes=drawn) == 0
    reference = replace(uninterrupted, folder=tmp_path / 'reference')
    assert reference.go(changes=dict(randomness=dict(seed=seed), model=model)) == 0
    assert_equal(run, reference)


def test_another_batch_size_is_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    work = tmp_path / 'work'
    work.mkdir()
    path = str(uninterrupted.folder / 'epoch_3.pth')
    config = run_config(str(work), uninterrupted.train, uninterrupted.val, batch_size=3)
    config.merge_from_dict(dict(load_from=path, resume=True))
    with pytest.raises(RuntimeError, match=r'18 iterations in 3 epochs.* has 4 per'):
        Runner.from_cfg(config).train()


def test_a_checkpoint_from_within_an_epoch_is_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    checkpoint = uninterrupted.last()
    checkpoint['meta'].update(epoch=1, iter=8)
    path = str(tmp_path / 'iter_8.pth')
    torch.save(checkpoint, path)
    config = run_config(
        str(tmp_path / 'work'), uninterrupted.train, uninterrupted.val, workers=0
    )
    config.merge_from_dict(dict(load_from=path, resume=True))
    with pytest.raises(RuntimeError, match='resume from a checkpoint of an epoch end'):
        Runner.from_cfg(config).train()


def test_a_run_without_epochs_is_told_before_it_begins_that_it_cannot_go_on(
    uninterrupted: Run, tmp_path: Path
) -> None:
    config = run_config(
        str(tmp_path), uninterrupted.train, uninterrupted.val, workers=0
    )
    config.train_cfg = dict(by_epoch=False, max_iters=1, val_interval=1)
    config.param_scheduler = None
    # ours refuses to save within an epoch
    config.default_hooks = dict(checkpoint=dict(type='CheckpointHook'))
    runner = Runner.from_cfg(config)
    told: list[str] = []
    runner.logger.warning = told.append
    runner.train()
    assert [line for line in told if 'cannot be resumed' in line]


def test_a_checkpoint_without_the_training_only_parts_is_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    checkpoint = uninterrupted.last()
    for key in [k for k in checkpoint['state_dict'] if k.startswith('distill.')]:
        del checkpoint['state_dict'][key]
    path = str(tmp_path / 'student.pth')
    torch.save(checkpoint, path)
    config = run_config(str(tmp_path), uninterrupted.train, uninterrupted.val)
    config.merge_from_dict(dict(load_from=path, resume=True))
    with pytest.raises(
        RuntimeError, match=r'keys missing \(as distill\.heads\.fitnets'
    ):
        Runner.from_cfg(config).train()


def test_a_best_checkpoint_is_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    (path,) = uninterrupted.folder.glob('best_*.pth')
    config = run_config(str(tmp_path), uninterrupted.train, uninterrupted.val)
    config.merge_from_dict(dict(load_from=str(path), resume=True))
    with pytest.raises(RuntimeError, match=r'no state of the optimizer, as best_\*'):
        Runner.from_cfg(config).train()


def test_processes_that_begin_at_different_steps_are_refused(
    uninterrupted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, 'all_gather_object', lambda own: [own, own + 6])
    config = run_config(str(tmp_path), uninterrupted.train, uninterrupted.val)
    with pytest.raises(RuntimeError, match=r'process 0 at 0, process 1 at 6.*work_dir'):
        Runner.from_cfg(config).train()


def test_patience_goes_on_where_it_was(uninterrupted: Run, tmp_path: Path) -> None:
    # StagedMetric is best at the first epoch, so patience ends with the second
    stop = dict(type='EarlyStoppingHook', monitor='acc/staged', patience=1)
    config = run_config(str(tmp_path / 'a'), uninterrupted.train, uninterrupted.val)
    hooks = [*config.custom_hooks, dict(stop, rule='greater')]
    changes = dict(custom_hooks=hooks)
    run = replace(uninterrupted, folder=tmp_path / 'a')
    assert run.go(changes=changes) == 0
    assert run.last()['meta']['epoch'] == 2
    # what has stopped stays so, and what was killed stops where it would have
    assert run.go(resume=True, changes=changes) == 0
    assert run.last()['meta']['epoch'] == 2
    killed = replace(uninterrupted, folder=tmp_path / 'b')
    assert killed.go(('train', 2, 1), changes=changes) == -9
    assert killed.go(resume=True, changes=changes) == 0
    assert killed.last()['meta']['epoch'] == 2
