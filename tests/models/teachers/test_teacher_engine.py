"""How a teacher runs changes what it costs, not what it says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest
import torch
from recognizer_toys import (
    distiller,
    losses,
    teacher,
    tiny_slowfast,
    tiny_tsn,
    volumes,
)
from torch import Tensor, nn
from toys import batch, tiny_tsm

from mmvkd.models import RecognizerTeacher
from mmvkd.models.outputs import Outputs
from mmvkd.models.teachers import recognizer

TAPS = ('backbone.layer2', 'backbone.layer4')


def loaded(
    model: Any = None, taps: tuple[str, ...] = TAPS, **options: Any
) -> RecognizerTeacher:
    """A teacher with taps, the same weights each time."""
    torch.manual_seed(0)
    made = RecognizerTeacher(model or tiny_tsm(), 'random', **options)
    made.attach('t', dict.fromkeys(taps))
    made.load()
    return made


def says(made: RecognizerTeacher, clips: int = 5) -> Outputs:
    """What it says of some clips."""
    generator = torch.Generator().manual_seed(1)
    shape = (4, 3, 32, 32) if made.view.format_shape == 'NCHW' else (1, 3, 8, 32, 32)
    return made({made.view: torch.randn(clips, *shape, generator=generator)}, [])


def assert_alike(got: Outputs, expected: Outputs, **tolerance: float) -> None:
    torch.testing.assert_close(got.logits, expected.logits, **tolerance)
    assert set(got.features) == set(expected.features)
    for name, feature in expected.features.items():
        torch.testing.assert_close(got.features[name], feature, **tolerance)


# Channels last


@pytest.mark.parametrize(
    ('model', 'taps', 'layout'),
    [
        (tiny_tsm(), TAPS, torch.channels_last),
        (tiny_tsn(), TAPS, torch.channels_last),
        (
            tiny_slowfast(),
            ('backbone.fast_path.layer2', 'backbone.slow_path.layer4'),
            torch.channels_last_3d,
        ),
    ],
    ids=['tsm', 'tsn', 'slowfast'],
)
def test_channels_last_gives_the_same_outputs(
    model: dict, taps: tuple, layout: torch.memory_format
) -> None:
    made = loaded(model, taps, channels_last=True)
    assert_alike(says(made), says(loaded(model, taps)), atol=1e-4, rtol=1e-4)
    kernels = [p for p in made.model.parameters() if p.ndim > 3]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)


def test_what_passes_between_convolutions_has_the_channels_last() -> None:
    made = loaded(tiny_tsn(), channels_last=True)
    seen: list[Tensor] = []
    layer = made.model.backbone.layer1
    layer.register_forward_hook(lambda module, args, output: seen.append(output))
    says(made)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert not seen[0].is_contiguous()


# Micro-batches


@pytest.mark.parametrize('size', [1, 2, 5, 9])
def test_micro_batches_give_the_same_outputs_in_order(size: int) -> None:
    made = loaded(micro_batch=size)
    batches: list[int] = []
    made.model.backbone.register_forward_pre_hook(
        lambda module, args: batches.append(len(args[0]) // 4)
    )
    got = says(made)
    assert_alike(got, says(loaded()), atol=1e-5, rtol=1e-4)
    assert max(batches) == min(size, 5) and sum(batches) == 5
    assert got.features['backbone.layer4'].shape == (5, 512, 4, 1, 1)
    assert not any(module.training for module in made.model.modules())


def test_a_micro_batch_of_no_clips_is_refused() -> None:
    with pytest.raises(ValueError, match='micro_batch must be 1 or more, got 0'):
        RecognizerTeacher(tiny_tsm(), 'random', micro_batch=0)


# Compiled


def names_of(model: nn.Module, parts: list) -> list[str]:
    names = {id(module): name for name, module in model.named_modules()}
    return [names[id(part)] for part in parts]


@pytest.mark.parametrize(
    ('taps', 'expected'),
    [
        ((), ['backbone', 'cls_head']),
        (('backbone',), ['backbone', 'cls_head']),
        (
            ('backbone.layer4',),
            [
                *('backbone.conv1', 'backbone.maxpool'),
                *(f'backbone.layer{i}' for i in (1, 2, 3, 4)),
                'cls_head',
            ],
        ),
    ],
    ids=['none', 'outside', 'inside'],
)
def test_the_largest_parts_without_a_tap_inside_are_compiled(
    taps: tuple, expected: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    called: list[nn.Module] = []

    def compile(forward: Any) -> Any:
        compiled.append(forward.__self__)

        def run(*args: Any, **kwargs: Any) -> Any:
            called.append(forward.__self__)
            return forward(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, 'compile', compile)
    made = loaded(taps=taps, compile=True)
    got = says(made)
    # the preprocessor is never called, and so never compiled
    assert names_of(made.model, called) == expected
    assert set(map(id, called)) <= set(map(id, compiled))
    assert tuple(got.features) == taps
    made.load()
    assert len(compiled) == len(set(map(id, compiled)))


def test_a_compiled_teacher_gives_the_same_outputs_at_its_taps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # without a C++ compiler: what is captured runs as it is
    whole = torch.compile
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, 'compile', lambda f: whole(f, backend=backend))
    made = loaded(compile=True)
    expected = says(loaded())
    for _ in range(2):
        assert_alike(says(made), expected, atol=0, rtol=0)
    assert graphs
    torch._dynamo.reset()


# A stream of its own


def test_a_stream_on_the_host_is_told_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[tuple[str, int]] = []
    monkeypatch.setattr(
        recognizer, 'print_log', lambda text, logger, level: said.append((text, level))
    )
    made = loaded(stream=True)
    for _ in range(2):
        assert_alike(says(made), says(loaded()), atol=0, rtol=0)
    ((text, level),) = said
    assert "teacher 't' has stream=True" in text and "'cpu'" in text
    assert '\n' not in text and level == logging.WARNING


class Streams:
    """A CUDA of two streams that notes what happens on each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.current = self.here = FakeStream('here', self.log)
        self.side: Optional[FakeStream] = None
        monkeypatch.setattr(torch.cuda, 'Stream', self.make)
        monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: self.current)
        monkeypatch.setattr(torch.cuda, 'stream', self.on)
        monkeypatch.setattr(
            Tensor,
            'record_stream',
            lambda tensor, stream: self.log.append(
                f'{tuple(tensor.shape)} used on {stream.name}'
            ),
        )

    def make(self, device: torch.device) -> FakeStream:
        assert self.side is None, 'one stream serves all steps'
        self.side = FakeStream('side', self.log)
        return self.side

    @contextmanager
    def on(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before


class FakeStream:
    device = torch.device('cpu')

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def wait_stream(self, other: FakeStream) -> None:
        self.log.append(f'{self.name} waits for {other.name}')

    def record_event(self) -> str:
        self.log.append(f'{self.name} is done')
        return f'end of {self.name}'

    def wait_event(self, event: str) -> None:
        self.log.append(f'{self.name} waits for {event}')


def test_a_teacher_in_its_own_stream_is_waited_for_after_the_student(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = Streams(monkeypatch)
    model = distiller(
        teachers=dict(t=teacher(stream=True)),
        heads=dict(h=dict(type='mmvkd.FitNetsHead', tap='backbone')),
    )
    wrapper = model.teachers['t']
    monkeypatch.setattr(
        RecognizerTeacher,
        '__call__',
        torch.no_grad()(lambda self, views, samples: self._aside(views[self.view])),
    )
    for name, part in (
        ('teacher', wrapper.model.backbone),
        ('student', model.student.backbone),
        ('head', model.heads['h'].connectors),
    ):
        parts = [part] if name != 'head' else list(part.values())
        parts[0].register_forward_pre_hook(
            lambda module, args, name=name: streams.log.append(
                f'{name} on {streams.current.name}'
            )
        )
    for _ in range(2):
        streams.log.clear()
        losses(model, batch())
        assert streams.log == [
            'side waits for here',
            'teacher on side',
            '(2, 4, 3, 32, 32) used on side',
            'side is done',
            'student on here',
            'here waits for end of side',
            '(2, 4) used on here',
            '(2, 512, 4, 1, 1) used on here',
            'head on here',
        ]


# All at once


def test_options_combine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'compile', lambda forward: forward)
    model = tiny_slowfast()
    tap = 'backbone.slow_path.layer4'
    options = dict(channels_last=True, compile=True, micro_batch=1, stream=True)
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        h=dict(type='mmvkd.FitNetsHead', tap=tap),
    )
    torch.manual_seed(0)
    plain = distiller(model, dict(t=teacher(model)), heads).eval()
    other = distiller(model, dict(t=teacher(model, **options)), heads).eval()
    other.load_state_dict(plain.state_dict())
    frozen = plain.teachers['t'].model.state_dict()
    other.teachers['t'].model.load_state_dict(frozen)
    expected = losses(plain, volumes())
    for name, value in losses(other, volumes()).items():
        torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-3)
