"""Safe loading of checkpoints: what it has to accept, and that it is on."""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_ONE_CYCLE = 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'
_ATTRIBUTES = {
    'mmengine.logging.history_buffer.HistoryBuffer': ('min', 'max', 'current', 'mean'),
    _ONE_CYCLE: ('_annealing_cos', '_annealing_linear'),
}


def allow_mmengine_checkpoints() -> None:
    """Let safe loading read the checkpoints that MMEngine itself writes.

    Symptom: on torch ≥ 2.6 ``resume`` and ``load_from`` end in ``Weights only load
    failed`` over ``HistoryBuffer``. Condition: MMEngine's types are not on torch's list
    of safe globals. The list gets ``HistoryBuffer``, ``ConfigDict`` (a dataset's
    metainfo) and NumPy arrays, scalars and types under the module names of NumPy 1 and
    2. Pickles name the statistics of a history and the curve of a one-cycle schedule
    through ``getattr``, so it also gets a stand-in for ``getattr`` that knows these six
    functions only: the real one would open every door. Safe loading stays on. Upstream:
    mmengine #1655.
    """
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    core = importlib.import_module(
        'numpy._core.multiarray' if _numpy_major() >= 2 else 'numpy.core.multiarray'
    )
    wanted: list[Any] = [HistoryBuffer, ConfigDict, np.ndarray, np.dtype]
    # Safe loading also asks for the class of each dtype instance.
    wanted += [type(np.dtype(code)) for code in '?bhilqBHILQefdgFDGSU']
    wanted += [_named(_known_attribute, 'builtins.getattr')]
    wanted += [_named(_never_built, _ONE_CYCLE)]
    wanted += [_named(_encode, '_codecs.encode')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        wanted += [
            _named(getattr(core, name), f'{module}.{name}')
            for name in ('_reconstruct', 'scalar')
        ]
    there = {_path(entry) for entry in torch.serialization.get_safe_globals()}
    fresh = {_path(entry): entry for entry in wanted if _path(entry) not in there}
    torch.serialization.add_safe_globals(list(fresh.values()))


def force_safe_loading() -> None:
    """Make plain ``torch.load`` safe on torch 2.4 and 2.5 too, for this process.

    Symptom: before torch 2.6 MMEngine's loaders run whatever code a checkpoint holds.
    Our tools call this; ``import mmvkd`` alone does not, because that would change how
    other files load. A user's ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is respected.
    """
    major, minor = (int(part) for part in torch.__version__.split('.')[:2])
    if (major, minor) < (2, 6) and 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD' not in os.environ:
        os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Give a function the dotted name under which pickles look for it."""

    def renamed(*args: Any) -> Any:
        return function(*args)

    renamed.__module__, _, renamed.__name__ = name.rpartition('.')
    renamed.__qualname__ = renamed.__name__
    return renamed


def _known_attribute(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in a pickle, for the functions that MMEngine stores."""
    known = _ATTRIBUTES.get(_path(owner), ()) if callable(owner) else ()
    if name not in known:
        raise pickle.UnpicklingError(
            f'a checkpoint asks for attribute {name!r} of {owner!r}; '
            f'only these are read: {_ATTRIBUTES}'
        )
    module, _, attribute = _path(owner).rpartition('.')
    return getattr(getattr(importlib.import_module(module), attribute), name)


def _never_built(*args: Any) -> None:
    """Stand in for a class that a checkpoint may name but not build."""
    raise pickle.UnpicklingError('a checkpoint builds what it may only name')


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, with which old pickles write bytes."""
    return text.encode(encoding)


def _path(entry: Any) -> str:
    """Return the dotted name of an entry of torch's list of safe globals."""
    if isinstance(entry, tuple):
        return str(entry[1])
    return f'{entry.__module__}.{entry.__qualname__}'


def _numpy_major() -> int:
    return int(np.__version__.split('.')[0])
