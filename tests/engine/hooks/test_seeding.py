"""The model's randomness is a function of (run seed, iteration, rank)."""

from __future__ import annotations

import logging
import random
from types import SimpleNamespace
from typing import Any, Optional

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import DefaultSampler
from mmengine.logging import MMLogger

from mmvkd.datasets import SeededSampler
from mmvkd.engine.hooks import SeedingHook, seeding
from mmvkd.seeding import seed_all, seeded, shared


def runner(seed: int = 3, sampler: Any = None, **randomness: Any) -> SimpleNamespace:
    """What the hook uses of a Runner."""
    sampler = sampler or object.__new__(SeededSampler)
    return SimpleNamespace(
        seed=seed,
        iter=0,
        logger=MMLogger.get_instance('seeding'),
        train_dataloader=SimpleNamespace(sampler=sampler),
        _randomness_cfg=randomness,
    )


def draws(hook: SeedingHook, run: SimpleNamespace, iteration: int) -> list[float]:
    """One number of each generator in an iteration."""
    run.iter = iteration
    hook.before_train_iter(run, 0)
    return [random.random(), float(np.random.rand()), torch.rand(()).item()]


def test_an_iteration_draws_the_same_whatever_came_before() -> None:
    hook, run = SeedingHook(), runner()
    first = draws(hook, run, 5)
    torch.rand(7), np.random.rand(3), random.random()
    assert draws(hook, run, 6) != first
    assert draws(SeedingHook(), run, 5) == first


@pytest.mark.parametrize('changed', ['seed', 'iteration', 'rank'])
def test_seed_iteration_and_rank_each_change_every_generator(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = draws(SeedingHook(), runner(), 5)
    if changed == 'rank':
        monkeypatch.setattr(seeding, 'get_rank', lambda: 1)
    other = draws(
        SeedingHook(),
        runner(seed=4 if changed == 'seed' else 3),
        6 if changed == 'iteration' else 5,
    )
    assert all(a != b for a, b in zip(first, other))


@pytest.mark.parametrize('by_rank', [False, True])
def test_what_all_processes_must_agree_on_follows_from_seed_and_iteration_alone(
    by_rank: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(rank: int, seed: int, iteration: int) -> float:
        monkeypatch.setattr(seeding, 'get_rank', lambda: rank)
        own = seed + (rank if by_rank else 0)
        draws(SeedingHook(), runner(seed=own, diff_rank_seed=by_rank), iteration)
        return shared.random()

    first = draw(0, 3, 5)
    assert draw(1, 3, 5) == first
    assert draw(0, 4, 5) != first
    assert draw(0, 3, 6) != first


def test_a_context_of_randomness_leaves_no_trace() -> None:
    seed_all(1)
    expected = random.random(), float(np.random.rand()), torch.rand(()).item()
    seed_all(1)
    with seeded(2, 3, 4):
        inside = random.random(), float(np.random.rand()), torch.rand(()).item()
    with seeded(2, 3, 4):
        assert inside == (random.random(), np.random.rand(), torch.rand(()).item())
    assert expected == (random.random(), np.random.rand(), torch.rand(()).item())
    assert all(a != b for a, b in zip(expected, inside))


def test_a_context_that_fails_leaves_no_trace_either() -> None:
    before = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(1):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('by_rank', [False, True])
def test_the_sampler_gets_the_seed_of_the_run_on_every_rank(
    by_rank: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, 'get_rank', lambda: 2)
    run = runner(seed=12, diff_rank_seed=by_rank)
    SeedingHook().before_train(run)
    assert run.train_dataloader.sampler.seed == (10 if by_rank else 12)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """MMEngine's loggers do not propagate; this one is listened to."""
    MMLogger.get_instance('seeding').addHandler(caplog.handler)
    return caplog


def test_a_sampler_without_keys_is_warned_of(
    logged: pytest.LogCaptureFixture,
) -> None:
    SeedingHook().before_train(runner(sampler=DefaultSampler([1, 2])))
    (message,) = warned(logged)
    assert 'sampler=dict(type="mmvkd.SeededSampler")' in message


def batch(*skipped: Optional[list[str]]) -> dict[str, list]:
    """A batch whose samples stand in for these clips."""
    samples = []
    for names in skipped:
        sample = ActionDataSample()
        if names:
            sample.set_metainfo(dict(skipped=names))
        samples.append(sample)
    return dict(inputs=[], data_samples=samples)


def test_a_clip_is_warned_of_once_and_each_replacement_is_counted(
    logged: pytest.LogCaptureFixture,
) -> None:
    hook, run = SeedingHook(), runner()
    hook.before_train_iter(run, 0, batch(['a (bad)'], None))
    hook.before_train_iter(run, 1, batch(['b (bad)', 'a (bad)'], ['b (bad)']))
    hook.before_train_iter(run, 2, batch(None, None))
    assert hook.skipped == 4
    first, second = warned(logged)
    assert 'a (bad); 1 so far' in first
    assert 'b (bad); 4 so far' in second
    hook.after_train(run)
    assert '4 samples were replaced in this run: 2 clips' in warned(logged)[-1]


def test_a_run_without_broken_clips_says_nothing(
    logged: pytest.LogCaptureFixture,
) -> None:
    hook, run = SeedingHook(), runner()
    hook.before_train(run)
    hook.before_train_iter(run, 0, batch(None, None))
    hook.after_train_epoch(run)
    hook.after_train(run)
    assert warned(logged) == []


def test_clips_that_one_of_several_loaders_skipped_are_reported(
    logged: pytest.LogCaptureFixture,
) -> None:
    hook, run = SeedingHook(), runner()
    hook.before_train_iter(run, 0, (batch(None), batch(['a (bad)'])))
    assert hook.skipped == 1
    assert 'a (bad)' in warned(logged)[0]


def test_clips_that_other_processes_skipped_are_reported_at_the_epochs_end(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, 'get_world_size', lambda: 2)
    monkeypatch.setattr(seeding, 'all_gather_object', lambda mine: [mine, ['c (bad)']])
    hook, run = SeedingHook(), runner()
    hook.before_train_iter(run, 0, batch(['a (bad)']))
    hook.after_train_epoch(run)
    assert hook.skipped == 2
    assert [m.split('; ')[0][-7:] for m in warned(logged)] == ['a (bad)', 'c (bad)']
