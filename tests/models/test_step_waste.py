"""A step waits for nothing and leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import mmaction
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from recognizer_toys import config, distiller, teacher, tiny_tsn
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from toys import CLASSES, batch, tiny_tsm

import mmvkd
from mmvkd.registry import MODELS

aten = torch.ops.aten
ROOTS = {
    'mmvkd': str(Path(mmvkd.__file__).parent),
    'mmaction': str(Path(mmaction.__file__).parent),
}
HERE = str(Path(__file__).parent)
HEADS: dict[str, dict] = dict(
    kd=dict(type='mmvkd.KDHead'),
    zscore_kd=dict(type='mmvkd.ZScoreKDHead'),
    dist=dict(type='mmvkd.DISTHead'),
    dkd=dict(type='mmvkd.DKDHead'),
    binary_graph=dict(type='mmvkd.LogitsGraphHead', cost='binary', edges='confidence'),
    fitnets=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
    spectrum=dict(
        type='mmvkd.SpectrumHead',
        tap='backbone.layer3',
        terms=dict(amplitude=1.0, energy=1.0, coherence=1.0),
        bands=[1.0, 2.0],
    ),
    parameter=dict(
        type='mmvkd.ParameterHead',
        terms=dict(energy=1.0, quantile=1.0),
        max_filters=64,
    ),
    learned_graph=dict(type='mmvkd.LogitsGraphHead', cost='binary', edges='learned'),
    representation_graph=dict(
        type='mmvkd.RepresentationGraphHead',
        tap='backbone.layer4',
        edges='learned',
        dim=64,
    ),
    substage=dict(
        type='mmvkd.SubstageHead',
        terms=dict(combination=1.0, distribution=1.0),
    ),
)


# What makes the host wait for the device


class Waits(TorchDispatchMode):
    """Notes where values of a tensor are read, which on a GPU makes the host wait.

    Operations whose result has a shape that depends on values are among them.
    """

    reads = (
        aten._local_scalar_dense.default,
        aten.nonzero.default,
        aten.masked_select.default,
        aten.equal.default,
        aten._unique2.default,
        aten.repeat_interleave.Tensor,
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.calls = _Calls(self)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        by_mask = func in (aten.index.Tensor, aten.index_put_.default) and any(
            index is not None and index.dtype is torch.bool for index in args[1]
        )
        if func in self.reads or by_mask:
            self.note(str(func))
        return func(*args, **(kwargs or {}))

    def note(self, what: str) -> None:
        """Remember it, and whose code it was."""
        frame: Any = sys._getframe(1)
        while frame is not None:
            path = frame.f_code.co_filename
            for package, root in ROOTS.items():
                if path.startswith(root):
                    self.found.append((package, what))
                    return
            if path.startswith(HERE):
                owner = frame.f_locals.get('self')
                if not isinstance(owner, (Waits, _Calls)):
                    self.found.append(('test', what))
                    return
            frame = frame.f_back

    def of(self, package: str) -> list[str]:
        return [what for owner, what in self.found if owner == package]

    def __enter__(self) -> Waits:
        self.calls.__enter__()
        return super().__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        super().__exit__(*exc_info)
        self.calls.__exit__(*exc_info)


class _Calls(TorchFunctionMode):
    """Copies to the host, which are no operation where the tensor is there already."""

    names = ('cpu', 'numpy', 'tolist', '__array__')

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, '__name__', '') in self.names:
            self.waits.note(func.__name__)
        return func(*args, **(kwargs or {}))


def waits_in_a_step(model: nn.Module, data: dict) -> Waits:
    """Forward and backward, once the batch is on the device."""
    inputs = model.train().data_preprocessor(data, True)
    with Waits() as waits:
        entries = model(**inputs, mode='loss')
        sum(value for key, value in entries.items() if 'loss' in key).backward()
    return waits


@pytest.mark.parametrize('name', HEADS)
def test_the_host_does_not_wait_for_the_device_in_a_step(name: str) -> None:
    waits = waits_in_a_step(distiller(heads={name: HEADS[name]}), batch())
    assert waits.of('mmvkd') == []
    # the counter works: MMAction2's own head counts the hits on the host
    assert 'numpy' in waits.of('mmaction')


def test_clips_without_a_label_do_not_make_the_host_wait() -> None:
    for labels in ([1, -1, 2], [-1, -1, -1]):
        data = batch(clips=3)
        for sample, label in zip(data['data_samples'], labels):
            sample.set_gt_label(label)
        names = ('dkd', 'binary_graph', 'learned_graph', 'representation_graph')
        heads = {name: HEADS[name] for name in names}
        assert waits_in_a_step(distiller(heads=heads), data).of('mmvkd') == []


def test_blended_clips_do_not_make_the_host_wait() -> None:
    student = tiny_tsm()
    blending = dict(type='MixupBlending', num_classes=CLASSES, alpha=0.8)
    student['data_preprocessor']['blending'] = blending
    heads = {name: HEADS[name] for name in ('kd', 'binary_graph', 'fitnets')}
    assert waits_in_a_step(distiller(student, heads=heads), batch()).of('mmvkd') == []


def test_other_views_do_not_make_the_host_wait() -> None:
    view = dict(num_frames=3, size=16, to_rgb=True, mean=[1, 2, 3], std=[4, 5, 6])
    model = distiller(teachers=dict(t=teacher(tiny_tsn(), view=view, micro_batch=1)))
    assert waits_in_a_step(model, batch()).of('mmvkd') == []


@pytest.mark.parametrize(
    'read',
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: (x > 0).nonzero(),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: float(x.max()),
    ],
)
def test_the_counter_sees_a_read(read: Any) -> None:
    x = torch.ones(3)
    with Waits() as waits:
        (x * 2).softmax(0)
        assert waits.found == []
        read(x)
    assert len(waits.of('test')) >= 1


# What is still there after a step


def test_nothing_of_a_step_is_alive_after_it() -> None:
    heads = dict(HEADS, graph=dict(type='mmvkd.LogitsGraphHead'))
    teachers = dict(
        a=teacher(),
        b=teacher(tiny_tsn(), view=dict(size=16), micro_batch=1, precision='bf16'),
    )
    heads['fitnets'] = dict(heads['fitnets'], teachers=['a'])
    model = MODELS.build(config(teachers=teachers, heads=heads))
    model.init_weights()
    optim = build_optim_wrapper(
        model, dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
    )
    seen: list[weakref.ref] = []
    for wrapper in model.teachers.values():
        wrapper.model.backbone.register_forward_hook(
            lambda module, args, output: seen.extend(map(weakref.ref, (*args, output)))
        )
    data = batch()
    model.train().train_step(data, optim)
    seen.clear()
    before = tensors()
    gc.disable()  # what only the collector finds is kept too long
    try:
        model.train_step(data, optim)
        # two of the first teacher and four of the second, then two of each hybrid
        assert len(seen) == 10
        assert [ref for ref in seen if ref() is not None] == []
        known = {id(p.grad) for p in model.parameters()}
        after = {key: x for key, x in tensors().items() if key not in known}
        left = [tuple(after[key].shape) for key in set(after) - set(before)]
        assert left == []
    finally:
        gc.enable()


def tensors() -> dict[int, Tensor]:
    """Every tensor that is alive."""
    # by its type alone: another test may have left a proxy of what is gone
    return {id(x): x for x in gc.get_objects() if issubclass(type(x), Tensor)}
