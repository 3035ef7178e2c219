"""Checkpoints load where only plain values may be unpickled, and nothing else does."""

from __future__ import annotations

import functools
import operator
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR
from mmengine.runner import load_checkpoint
from runner_toys import Tiny, runner


def test_a_real_checkpoint_is_resumed_with_safe_loading_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_forced_loading: None
) -> None:
    runner(tmp_path).train()
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    files = sorted(tmp_path.glob('*.pth'))
    assert [file.name[:4] for file in files] == ['best', 'epoc']
    checkpoint = torch.load(files[1], weights_only=True)
    assert 'ema_state_dict' in checkpoint
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert isinstance(checkpoint['meta']['dataset_meta']['palette'], ConfigDict)
    load_checkpoint(Tiny(), str(files[0]))
    resumed = runner(tmp_path, epochs=2, resume=True)
    resumed.train()
    assert resumed.iter == 4
    scalars = resumed.message_hub.log_scalars['train/loss'].data[0]
    assert len(scalars) == 4


def saved(thing: Any, tmp_path: Path) -> str:
    file = str(tmp_path / 'thing.pth')
    torch.save(thing, file)
    return file


@pytest.mark.parametrize('old', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_arrays_load_from_either_numpy(tmp_path: Path, old: str) -> None:
    file = tmp_path / 'thing.pkl'
    values = dict(array=np.arange(3.0), scalar=np.float64(2.5), name=np.array(['ab']))
    data = pickle.dumps(values, protocol=2)
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):
        data = data.replace(f'c{module}\n'.encode(), f'c{old}\n'.encode())
    assert old.encode() in data
    file.write_bytes(data)
    with open(file, 'rb') as f:
        got = torch._weights_only_unpickler.load(f, encoding='ascii')
    assert got['array'].tolist() == [0.0, 1.0, 2.0]
    assert got['scalar'] == 2.5
    assert got['name'].tolist() == ['ab']


def test_a_one_cycle_schedule_keeps_its_curve_through_safe_loading(
    tmp_path: Path,
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    schedule = OneCycleLR(optimizer, eta_max=0.1, total_steps=4)
    state = schedule.state_dict()
    again = torch.load(saved(state, tmp_path), weights_only=True)
    assert again['anneal_func'] is state['anneal_func']


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    'evil',
    [
        Calls(getattr, HistoryBuffer, '__init__'),
        Calls(getattr, OneCycleLR, '__init__'),
        Calls(getattr, 'text', 'mean'),
        Calls(OneCycleLR.__mro__[2], 'optimizer'),
        Calls(os.getcwd),
        Calls(operator.attrgetter, 'mean'),
        Calls(functools.partial, print),
    ],
    ids=['method', 'init', 'text', 'class', 'os', 'operator', 'partial'],
)
def test_a_checkpoint_that_asks_for_more_is_refused(tmp_path: Path, evil: Any) -> None:
    file = saved(dict(state_dict=evil), tmp_path)
    with pytest.raises((pickle.UnpicklingError, AttributeError)):
        torch.load(file, weights_only=True)
