"""Randomness is a function, not a state: every draw follows from a key."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch


class SampleKey(NamedTuple):
    """What decides a training sample, augmentation included.

    Args:
        sample_id: Position in the annotation list.
        epoch: Epoch, from 0; or the number of one of K views that recur.
        seed: Seed of the run.
    """

    sample_id: int
    epoch: int = 0
    seed: int = 0


def cached_view(sample_id: int, view: int) -> SampleKey:
    """The key of a view that recurs: the same in every run."""
    return SampleKey(sample_id, view, seed=0)


shared = random.Random(0)
"""Draws that all processes must agree on, each making the same ones in a step."""


def seed_shared(*key: int) -> None:
    """Seed :data:`shared` by a key of integers ≥ 0, equal in all processes."""
    words = _words(key)
    shared.seed(words[0] << 32 | words[1])


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and torch, all devices, by a key of integers ≥ 0."""
    words = _words(key)
    random.seed(words[0])
    np.random.seed(words[1])
    torch.manual_seed(words[2] << 32 | words[3])


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the host's generators inside the context, and restore them after it."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = _words(key)
    random.seed(words[0])
    np.random.seed(words[1])
    # only the host's: a worker process must not touch a device
    torch.default_generator.manual_seed(words[2] << 32 | words[3])
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _words(key: tuple[int, ...]) -> list[int]:
    """Four numbers of 32 bits that follow from the key."""
    return np.random.SeedSequence(key).generate_state(4).tolist()
