"""Teachers are frozen and hidden from training, in their own view and precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from recognizer_toys import (
    backward,
    build,
    config,
    distiller,
    file_of,
    losses,
    plain,
    run,
    teacher,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    volumes,
)
from teacher_toys import NOWHERE, frozen
from torch import Tensor, nn
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models import RecognizerTeacher
from mmvkd.models.outputs import Outputs
from mmvkd.models.views import Views


def outputs(made: RecognizerTeacher, inputs: Tensor) -> Outputs:
    """What a teacher says of an input that is in its view."""
    return made({made.view: inputs}, [])


def test_a_teacher_without_its_weights_says_nothing() -> None:
    made = RecognizerTeacher(tiny_tsm(), NOWHERE)
    made.attach('t', {})
    with pytest.raises(RuntimeError, match=r"'t' has not read .* call init_weights"):
        outputs(made, torch.zeros(1, 4, 3, 32, 32))


def named(folder: Path, model: dict, *transforms: dict) -> dict[str, Any]:
    """A teacher's settings that name a config with this validation pipeline."""
    loaded = dict(dataset=dict(type='VideoDataset', pipeline=list(transforms)))
    path = folder / 'teacher.py'
    Config(dict(model=model, val_dataloader=loaded)).dump(str(path))
    return dict(model=dict(config=str(path)))


SAMPLES = dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=2, num_clips=1)


def test_a_3d_teacher_of_a_config_takes_the_frames_of_its_pipeline(
    tmp_path: Path,
) -> None:
    settings = named(tmp_path, tiny_slowfast(), dict(type='DecordInit'), SAMPLES)
    model = config(teachers=dict(t=teacher(**settings)))
    told = 'takes 16 frames but the clip has 4; .* load more with oversample=4'
    with pytest.raises(ValueError, match=told):
        losses(build(model), batch(frames=4))
    oversampled = losses(build(model), batch(frames=16))
    assert oversampled['loss_kd'].isfinite()


@pytest.mark.parametrize(
    ('model', 'transforms', 'view', 'expected'),
    [
        (tiny_slowfast(), [SAMPLES], dict(num_frames=8), 8),
        (tiny_slowfast(), [dict(type='UniformSample', clip_len=12)], {}, 12),
        (tiny_slowfast(), [dict(type='DecordInit')], {}, None),
        (tiny_tsn(), [SAMPLES], {}, None),
    ],
)
def test_what_the_view_says_goes_first_and_a_2d_teacher_takes_any_number(
    tmp_path: Path, model: dict, transforms: list, view: dict, expected: Any
) -> None:
    settings = named(tmp_path, model, *transforms)
    made = RecognizerTeacher(settings['model'], 'random', view=view)
    assert made.view.num_frames == expected


def test_its_classifier_is_the_last_linear_layer_of_as_many_outputs() -> None:
    made = frozen()
    rows = made.model.cls_head.fc_cls.weight
    made.model.cls_head.after = nn.Linear(8, CLASSES + 1)  # as TRN orders its layers
    assert torch.equal(made.classifier, rows)


def test_a_trn_that_draws_its_relations_says_the_same_of_a_clip_each_time() -> None:
    model = tiny_tsn()
    model['cls_head'] = dict(
        type='TRNHead', num_classes=CLASSES, in_channels=512, hidden_dim=8
    )
    made = frozen(model)
    clips = torch.randn(2, 8, 3, 32, 32)
    before = np.random.get_state()[1].tolist()
    logits = outputs(made, clips).logits
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(1)
    assert torch.equal(outputs(made, clips).logits, logits)
    assert torch.allclose(outputs(made, clips[1:]).logits, logits[1:], atol=1e-5)


def test_teachers_go_where_the_student_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = distiller()
    places: list[str] = []
    monkeypatch.setattr(
        model.teachers['t'], 'to', lambda device: places.append(device.type)
    )
    model.to('meta')
    model.float()  # names no device
    assert places == ['meta', 'meta']


def test_teachers_are_not_part_of_the_model() -> None:
    model = distiller(heads=dict(h=dict(type='mmvkd.FitNetsHead', tap='backbone')))
    wrapper = model.teachers['t']
    theirs = {id(p) for p in wrapper.model.parameters()}
    assert theirs and not theirs & {id(p) for p in model.parameters()}
    buffers = {id(b) for b in wrapper.model.buffers()}
    assert not buffers & {id(b) for b in model.buffers()}
    modules = {id(m) for m in wrapper.model.modules()}
    assert not modules & {id(m) for m in model.modules()}
    ours = list(plain(tiny_tsm()).state_dict())
    connector = 'distill.heads.h.connectors.t.conv.'
    assert list(model.state_dict()) == [
        *ours,
        f'{connector}weight',
        f'{connector}bias',
    ]
    assert not isinstance(wrapper, nn.Module)


@pytest.mark.parametrize(
    ('model', 'make', 'random_part'),
    [
        (tiny_swin(drop_path=0.2), volumes, 'DropPath'),
        (tiny_tsm(), batch, 'Dropout'),
        (tiny_slowfast(), volumes, 'Dropout'),
    ],
    ids=['swin', 'tsm', 'slowfast'],
)
def test_two_training_passes_give_the_same_outputs(
    model: dict, make: Any, random_part: str
) -> None:
    tap = dict(type='mmvkd.FitNetsHead', tap='cls_head.fc_cls')
    made = distiller(model, dict(t=teacher(model)), dict(h=tap)).train()
    wrapper = made.teachers['t']
    parts = [m for m in wrapper.model.modules() if type(m).__name__ == random_part]
    assert any(
        getattr(m, 'p', 0) >= 0.5 or getattr(m, 'drop_prob', 0) > 0.1 for m in parts
    )
    seen = []
    call = type(wrapper).__call__

    def record(*args: Any) -> Any:
        seen.append(call(wrapper, *args))
        return seen[-1]

    made.teachers['t'] = _Recorder(wrapper, record)
    for _ in range(2):
        made.train()
        backward(made, make(clips=2))
    first, second = seen
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(
        first.features['cls_head.fc_cls'], second.features['cls_head.fc_cls']
    )
    assert not first.logits.requires_grad
    # the test would see it: the same model awake differs
    wrapper.model.train()
    awake = wrapper(Views(_clip(make)), [])
    assert not torch.equal(awake.logits, first.logits)


def _clip(make: Any) -> Tensor:
    inputs = torch.stack(make(clips=2)['inputs'])
    # [N, V, C, T, H, W]
    return inputs.transpose(1, 2)[:, None] if make is batch else inputs


class _Recorder:
    """A teacher that notes what it says."""

    def __init__(self, wrapper: RecognizerTeacher, call: Any) -> None:
        self.view, self.loaded, self.call = wrapper.view, wrapper.loaded, call

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


def test_a_training_run_leaves_every_tensor_of_a_teacher_as_it_was(
    tmp_path: Path,
) -> None:
    path = file_of(plain(tiny_tsm(), seed=8), tmp_path / 'teacher.pth')
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        h=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
    )
    model = config(teachers=dict(t=teacher(checkpoint=path)), heads=heads)
    runner = run(model, tmp_path / 'run', epochs=2)
    before = torch.load(path, weights_only=True)['state_dict']
    after = runner.model.teachers['t'].model
    assert any(key.endswith('running_mean') for key in before)
    for key, value in after.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(m.training for m in after.modules())
    assert all(p.grad is None for p in after.parameters())


def test_a_teacher_that_knows_nothing_is_the_same_on_each_rank_and_in_each_run() -> (
    None
):
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = build(config(teachers=dict(t=teacher(), u=teacher())), init=False)
        before = torch.get_rng_state()
        model.load_teachers()
        assert torch.equal(torch.get_rng_state(), before)
        made.append([dict(t.model.named_parameters()) for t in model.teachers.values()])
    for (name, p), q in zip(made[0][0].items(), made[1][0].values()):
        assert torch.equal(p, q), name
    weight = 'backbone.conv1.conv.weight'
    assert not torch.equal(made[0][0][weight], made[0][1][weight])


def test_a_teacher_keeps_float32_inside_an_outer_autocast() -> None:
    made = frozen()
    inputs = torch.randn(2, 4, 3, 32, 32)
    expected = outputs(made, inputs)
    with torch.autocast('cpu', torch.bfloat16):
        got = outputs(made, inputs)
    assert got.logits.dtype == got.features['backbone'].dtype == torch.float32
    assert torch.equal(got.logits, expected.logits)


def test_a_teacher_runs_in_its_own_low_precision() -> None:
    torch.manual_seed(0)
    full = frozen()
    low = frozen(precision='bf16')
    low.model.load_state_dict(full.model.state_dict())
    inputs = torch.randn(2, 4, 3, 32, 32)
    got, expected = outputs(low, inputs), outputs(full, inputs)
    assert got.features['backbone'].dtype == torch.bfloat16
    assert {p.dtype for p in low.model.parameters()} == {torch.float32}
    assert not torch.equal(got.logits.float(), expected.logits)
    torch.testing.assert_close(got.logits.float(), expected.logits, atol=0.05, rtol=0.1)
    model = distiller(teachers=dict(t=teacher(precision='bf16')))
    assert losses(model, batch())['loss_kd'].dtype == torch.float32


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(ValueError, match="'fp8' is unknown; known: fp32, fp16, bf16"):
        RecognizerTeacher(tiny_tsm(), 'random', precision='fp8')
