"""Pairs of teacher and student: built, stepped, and saved as the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from recognizer_toys import (
    backward,
    build,
    config,
    file_of,
    plain,
    teacher,
    tiny_mmpretrain,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    tiny_vit,
    volumes,
    without_gradient,
)
from toys import CLASSES, FRAMES, batch, tiny_tsm

TSM_R50 = (
    'mmaction::recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'
)
LAYER4 = 'backbone.layer4'
SLOW4 = 'backbone.slow_path.layer4'


def tiny_mobilenet() -> dict:
    model = tiny_tsm()
    model['backbone'] = dict(
        type='MobileNetV2TSM',
        pretrained=None,
        pretrained2d=False,
        num_segments=FRAMES,
        shift_div=8,
    )
    model['cls_head']['in_channels'] = 1280
    return model


def named_tsm() -> dict:
    return dict(
        config=TSM_R50,
        backbone=dict(pretrained=None, pretrained2d=False, num_segments=FRAMES),
        cls_head=dict(num_classes=CLASSES, num_segments=FRAMES),
    )


def other_norm(model: dict) -> dict:
    model['data_preprocessor'].update(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
    return model


def pair(
    teachers: Any,
    student: dict,
    tap: str = LAYER4,
    teacher_tap: Any = None,
    data: Any = None,
    **kwargs: Any,
) -> Any:
    """Arguments of a test: teachers' models, student, heads, batch."""
    if 'type' in teachers or 'config' in teachers:
        teachers = dict(t=teacher(teachers))
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        hint=dict(type='mmvkd.FitNetsHead', tap=tap, teacher_tap=teacher_tap),
        graph=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    )
    return config(student, teachers, heads, **kwargs), data or batch()


def two_teachers() -> dict:
    return dict(
        a=teacher(other_norm(tiny_tsm(frames=8)), view=dict(size=24)),
        b=teacher(tiny_slowfast(), view=dict(num_frames=16)),
    )


PAIRS = {
    'tsm-r50 to tsm-r18': lambda: pair(tiny_tsm(50), tiny_tsm()),
    'tsn-r50 to tsn-r18': lambda: pair(tiny_tsn(50), tiny_tsn()),
    'slowfast-r50 to slowfast-r18': lambda: pair(
        tiny_slowfast(50), tiny_slowfast(), SLOW4, data=volumes()
    ),
    'slowfast-r50 to tsm-r18': lambda: pair(
        tiny_slowfast(50), tiny_tsm(), LAYER4, SLOW4, batch(frames=8)
    ),
    'tsm-r50 to tsn-r18': lambda: pair(tiny_tsm(50), tiny_tsn()),
    'tsm-r50 to tsm-mobilenet-v2': lambda: pair(
        tiny_tsm(50), tiny_mobilenet(), 'backbone.conv2', LAYER4
    ),
    'mmpretrain to tsm-r18': lambda: pair(tiny_mmpretrain(), tiny_tsm()),
    'tsm-r50 to mmpretrain': lambda: pair(tiny_tsm(50), tiny_mmpretrain()),
    'vit of mmpretrain to tsm-r18': lambda: pair(
        tiny_vit(), tiny_tsm(), LAYER4, 'backbone.layers.1'
    ),
    'swin-3d to tsm-r18': lambda: pair(
        tiny_swin(), tiny_tsm(), LAYER4, 'backbone.layers.3', batch(frames=8)
    ),
    'two teachers to tsm-r18': lambda: pair(
        two_teachers(), tiny_tsm(), LAYER4, dict(a=LAYER4, b=SLOW4), batch(frames=16)
    ),
    'named tsm-r50 to tsm-r18': lambda: pair(named_tsm(), tiny_tsm()),
    'tsm-r18 to named tsm-r50': lambda: pair(tiny_tsm(), named_tsm()),
    'tsm-r18 to swin-3d': lambda: pair(
        tiny_tsm(), tiny_swin(), 'backbone.layers.3', LAYER4, volumes()
    ),
}


@pytest.mark.parametrize('name', PAIRS)
def test_the_pair_trains_and_is_saved_as_its_student(name: str, tmp_path: Path) -> None:
    model_config, data = PAIRS[name]()
    model = build(model_config).train()
    entries = backward(model, data)
    for head in ('kd', 'hint', 'graph'):
        assert torch.isfinite(entries[f'loss_{head}'])
        assert entries[f'loss_{head}'] > 0
    assert without_gradient(model) == []
    wrapper = build_optim_wrapper(
        model, dict(optimizer=dict(type='SGD', lr=1e-4), clip_grad=dict(max_norm=1.0))
    )
    first = next(model.student.parameters()).detach().clone()
    wrapper.step()
    assert not torch.equal(next(model.student.parameters()), first)
    # saved, the student alone is a plain recognizer with its scores
    state = torch.load(file_of(model, tmp_path / 'x.pth'), weights_only=True)
    state = state['state_dict']
    own = {k: v for k, v in state.items() if not k.startswith('distill.')}
    alone = plain(model_config['student'], seed=5)
    assert list(own) == list(alone.state_dict())
    alone.load_state_dict(own, strict=True)
    taken = _plain_batch(model, data)
    expected = [sample.pred_score for sample in alone.eval().test_step(taken)]
    got = model.eval().test_step(_plain_batch(model, data))
    for sample, scores in zip(got, expected):
        assert torch.equal(sample.pred_score, scores)


def _plain_batch(model: Any, data: dict) -> dict:
    """The batch as a test pipeline would load it for the student."""
    frames = model.view.num_frames
    inputs = data['inputs']
    if frames is not None and model.view.format_shape == 'NCHW':
        inputs = [x[:: len(x) // frames] for x in inputs]
    return dict(inputs=inputs, data_samples=data['data_samples'])


def test_a_teacher_is_named_by_the_path_of_a_config(tmp_path: Path) -> None:
    path = tmp_path / 'teacher.py'
    path.write_text(f'model = {tiny_tsn(50)!r}\n')
    model_config, data = pair(dict(t=teacher(str(path))), tiny_tsm())
    model = build(model_config)
    assert model.teachers['t'].model.backbone.depth == 50
    assert backward(model, data)['loss_hint'] > 0


def test_two_teachers_of_one_batch_see_their_own_frames_and_pixels() -> None:
    model_config, data = PAIRS['two teachers to tsm-r18']()
    model = build(model_config)
    shapes: dict[str, tuple] = {}
    for name, wrapper in model.teachers.items():
        wrapper.model.backbone.register_forward_pre_hook(
            lambda module, args, name=name: shapes.update({name: args[0].shape})
        )
    backward(model, data)
    assert shapes['a'] == (2 * 8, 3, 24, 24)
    assert shapes['b'] == (2, 3, 16, 32, 32)
