"""Checkpoints are whole at every moment, and hold no code."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmvkd.engine.hooks import AtomicCheckpointHook
from mmvkd.engine.hooks import checkpoint as module
from mmvkd.engine.hooks.checkpoint import AtomicBackend


class Line(BaseModel):
    """One weight that goes down."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(
        self, inputs: Any, data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
        if mode == 'predict':
            return [0]
        return dict(loss=self.layer.weight.sum())


class Scores(BaseMetric):
    """Gives a score an epoch from a list."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = list(scores)

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(score=self.scores.pop(0))


def collate(data: list[Tensor]) -> dict[str, Tensor]:
    return dict(inputs=torch.stack(data))


def build(
    folder: Path,
    scores: tuple[float, ...] = (),
    epochs: int = 4,
    resume: bool = False,
    loop: Optional[dict] = None,
    **settings: Any,
) -> Runner:
    """A Runner of a toy model with an atomic checkpoint hook."""
    validation: dict[str, Any] = {}
    if scores:
        validation = dict(
            val_dataloader=DataLoader(torch.zeros(2, 1), collate_fn=collate),
            val_cfg=dict(),
            val_evaluator=Evaluator(Scores(list(scores))),
        )
        settings.setdefault('save_best', 'score')
        settings.setdefault('rule', 'greater')
    return Runner(
        model=Line(),
        work_dir=str(folder),
        train_dataloader=DataLoader(torch.zeros(4, 1), 2, collate_fn=collate),
        train_cfg=loop or dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(
            logger=None, checkpoint=dict(type='mmvkd.AtomicCheckpointHook', **settings)
        ),
        custom_hooks=[dict(type='mmvkd.ExactResumeHook')],
        default_scope='mmaction',
        randomness=dict(seed=1),
        experiment_name=f'run{len(list(folder.glob("*")))}',
        resume=resume,
        **validation,
    )


def names(folder: Path) -> list[str]:
    """The files of checkpoints there."""
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith('2'))


def pointed(folder: Path) -> Path:
    """What ``last_checkpoint`` points to."""
    return Path((folder / 'last_checkpoint').read_text())


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Checks the folder before and after everything that changes a file in it."""
    steps: list[str] = []

    def check() -> None:
        if (tmp_path / 'last_checkpoint').exists():
            steps.append(pointed(tmp_path).name)
            loaded = torch.load(pointed(tmp_path), weights_only=True)
            assert 'state_dict' in loaded

    for name in ('replace', 'remove', 'fsync'):
        original = getattr(os, name)

        def observed(*args: Any, _original: Any = original) -> None:
            check()
            _original(*args)
            check()

        monkeypatch.setattr(os, name, observed)
    yield steps


def test_at_every_moment_the_last_checkpoint_is_whole(
    tmp_path: Path, watched: list[str]
) -> None:
    build(tmp_path, max_keep_ckpts=1, scores=(1, 3, 2, 4)).train()
    order = list(dict.fromkeys(watched))
    assert order == [f'epoch_{i}.pth' for i in (1, 2, 3, 4)]
    assert names(tmp_path) == [
        'best_score_epoch_4.pth',
        'epoch_4.pth',
        'last_checkpoint',
    ]


def test_the_previous_checkpoint_goes_after_the_pointer_moved_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace, remove = os.replace, os.remove

    def replaced(source: Any, target: Any) -> None:
        replace(source, target)
        events.append(f'+{Path(target).name}')

    def removed(path: Any) -> None:
        remove(path)
        events.append(f'-{Path(path).name}')

    monkeypatch.setattr(os, 'replace', replaced)
    monkeypatch.setattr(os, 'remove', removed)
    build(tmp_path, epochs=2, max_keep_ckpts=1).train()
    assert events == [
        '+epoch_1.pth',
        '+last_checkpoint',
        '+epoch_2.pth',
        '+last_checkpoint',
        '-epoch_1.pth',
    ]


@pytest.mark.parametrize('keep', [1, 2, 3, -1])
def test_as_many_checkpoints_are_kept_as_asked(tmp_path: Path, keep: int) -> None:
    build(tmp_path, max_keep_ckpts=keep).train()
    kept = [1, 2, 3, 4] if keep < 0 else [1, 2, 3, 4][-keep:]
    assert names(tmp_path) == [*(f'epoch_{i}.pth' for i in kept), 'last_checkpoint']
    assert pointed(tmp_path).name == 'epoch_4.pth'


def test_the_best_checkpoint_stays_and_the_former_best_goes(tmp_path: Path) -> None:
    build(tmp_path, max_keep_ckpts=1, scores=(1, 3, 2, 2)).train()
    assert names(tmp_path) == [
        'best_score_epoch_2.pth',
        'epoch_4.pth',
        'last_checkpoint',
    ]
    best = torch.load(tmp_path / 'best_score_epoch_2.pth', weights_only=True)
    assert best['meta']['epoch'] == 2
    last = torch.load(tmp_path / 'epoch_4.pth', weights_only=True)
    assert last['message_hub']['runtime_info']['best_score'] == 3
    assert last['message_hub']['runtime_info']['best_ckpt'].endswith('epoch_2.pth')


@pytest.mark.parametrize('interval', [3, -1])
def test_a_former_best_does_not_stay_until_an_epoch_is_saved(
    tmp_path: Path, interval: int
) -> None:
    settings = dict(interval=interval, save_last=False)
    build(tmp_path, scores=(1, 2, 3, 4), **settings).train()
    best = [name for name in names(tmp_path) if name.startswith('best')]
    assert best == ['best_score_epoch_4.pth']


def test_fewer_checkpoints_are_kept_after_resuming_with_a_smaller_number(
    tmp_path: Path,
) -> None:
    build(tmp_path, epochs=3, max_keep_ckpts=3).train()
    build(tmp_path, epochs=4, max_keep_ckpts=2, resume=True).train()
    assert names(tmp_path) == ['epoch_3.pth', 'epoch_4.pth', 'last_checkpoint']


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    for name in ('epoch_1.pth', 'best_score_epoch_1.pth', 'last_checkpoint'):
        (tmp_path / f'.{name}.0f.tmp').write_bytes(b'half')
    (tmp_path / 'mine.pth').write_bytes(b'keep')
    build(tmp_path, epochs=1).train()
    assert names(tmp_path) == ['epoch_1.pth', 'last_checkpoint', 'mine.pth']


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.pth'
    backend = AtomicBackend()
    backend.put(b'old', path)

    def full(*args: Any) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(module.os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        backend.put(b'new', path)
    assert path.read_bytes() == b'old'
    # nor does what was written of the new one fill the disk
    assert names(tmp_path) == ['a.pth']


def test_checkpoints_within_an_epoch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'saves at epoch ends \(by_epoch=True\)'):
        AtomicCheckpointHook(interval=10, by_epoch=False)
    loop = dict(by_epoch=False, max_iters=4)
    with pytest.raises(ValueError, match='IterBasedTrainLoop has none'):
        build(tmp_path, loop=loop).train()


def test_a_checkpoint_loads_in_safe_mode_and_a_run_resumes_from_it(
    tmp_path: Path,
) -> None:
    build(tmp_path, epochs=2, scores=(1, 2)).train()
    loaded = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    assert set(loaded) >= {'state_dict', 'optimizer', 'message_hub', 'meta'}
    again = build(tmp_path, epochs=3, scores=(3,), resume=True)
    again.train()
    assert again.epoch == 3
    straight = build(tmp_path / 'straight', epochs=3, scores=(1, 2, 3))
    straight.train()
    for mine, other in zip(again.model.parameters(), straight.model.parameters()):
        assert torch.equal(mine, other)


class Harm:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize('place', ['message_hub', 'optimizer', 'meta'])
@pytest.mark.parametrize('resume', [True, False])
def test_a_checkpoint_with_code_is_refused_and_its_code_is_not_run(
    tmp_path: Path, place: str, resume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, epochs=1).train()
    trace = tmp_path / 'trace'
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    checkpoint[place]['harm'] = Harm(trace)
    torch.save(checkpoint, tmp_path / 'epoch_1.pth')
    again = build(tmp_path, epochs=2, resume=resume)
    again._load_from = str(tmp_path / 'epoch_1.pth')
    # before torch 2.6 safe loading is what our tools ask for
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(pickle.UnpicklingError, match='Weights only load failed'):
        again.train()
    assert not trace.exists()
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    # the trap works: loaded without safety, it springs
    torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert trace.exists()


def test_the_hook_is_found_by_its_prefixed_name() -> None:
    hook = HOOKS.build(dict(type='mmvkd.AtomicCheckpointHook', max_keep_ckpts=2))
    assert isinstance(hook, AtomicCheckpointHook)
    assert isinstance(hook, Hook)


def test_a_run_that_goes_on_in_another_folder_leaves_the_first_its_best(
    tmp_path: Path,
) -> None:
    a, b = tmp_path / 'a', tmp_path / 'b'
    build(a, scores=(0.5, 0.4), epochs=2).train()
    there = sorted(file.name for file in a.iterdir())
    shutil.copytree(a, b)
    build(b, scores=(0.4, 0.6), epochs=3, resume=True).train()
    assert sorted(file.name for file in a.iterdir()) == there
    assert 'best_score_epoch_1.pth' in there
    assert [file.name for file in b.glob('best_*')] == ['best_score_epoch_3.pth']


def test_checkpoints_hold_the_last_values_of_what_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logged(folder: Path) -> list[float]:
        runner = build(folder, epochs=4)
        runner.train()
        return runner.message_hub.get_scalar('train/loss').data[0].tolist()

    everything = logged(tmp_path / 'everything')
    length = len(everything) // 4  # steps of an epoch
    monkeypatch.setattr(module, '_MOST_LOGGED', length + 1)
    assert logged(tmp_path / 'bounded') == everything[-length - 1 :]
    monkeypatch.setattr(module, '_MOST_LOGGED', 0)
    assert logged(tmp_path / 'an epoch') == everything[-length:]
