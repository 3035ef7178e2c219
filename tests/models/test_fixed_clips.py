"""Transformers and others that take one number of frames and one size alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from recognizer_toys import (
    distiller,
    losses,
    teacher,
    tiny_i3d,
    tiny_swin,
    volumes,
)
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models.layouts import TapError
from mmvkd.models.probe import probe
from mmvkd.models.recognizers import build_recognizer
from mmvkd.models.taps import TapReader
from mmvkd.models.views import ClipView

BLOCK = 'backbone.blocks.1'


def clip_recognizer(width: int, **backbone: Any) -> dict:
    """Config of a 3-D recognizer with a head on vectors."""
    head = dict(type='TimeSformerHead', num_classes=CLASSES, in_channels=width)
    return dict(tiny_swin(), backbone=backbone, cls_head=head)


def video_mae(frames: int = 8) -> dict:
    """Of frames of 32² pixels, in tubes of 2×8×8."""
    return clip_recognizer(
        24,
        type='mmaction.VisionTransformer',
        img_size=32,
        patch_size=8,
        embed_dims=24,
        depth=2,
        num_heads=2,
        mlp_ratio=2,
        num_frames=frames,
        tubelet_size=2,
    )


def timesformer() -> dict:
    """Of 4 frames of 32² pixels, in patches of 8×8."""
    return clip_recognizer(
        24,
        type='TimeSformer',
        num_frames=4,
        img_size=32,
        patch_size=8,
        pretrained=None,
        embed_dims=24,
        num_heads=2,
        num_transformer_layers=2,
    )


def test_a_transformer_of_one_clip_is_probed_with_the_one_that_its_view_says() -> None:
    model = build_recognizer('student', video_mae())
    view = ClipView.of(model, dict(num_frames=8, size=32))
    reader = TapReader(model, [BLOCK], {BLOCK: 'N4LC'})
    assert probe('t', model, view, reader).shapes[BLOCK][:2] == (24, 4)


def test_one_that_runs_on_no_clip_names_the_view() -> None:
    model = build_recognizer('student', video_mae(frames=12))
    for name, setting in (('t', 'view'), ('student', 'student_view')):
        message = rf'16×112×112.*say {setting}=dict\(num_frames=…, size=…\)'
        with pytest.raises(RuntimeError, match=message):
            probe(name, model, ClipView.of(model), TapReader(model, [BLOCK]))


def test_one_that_says_its_frames_is_given_as_many() -> None:
    model = build_recognizer('student', timesformer())
    assert ClipView.of(model).num_frames == 4
    assert ClipView.of(model, dict(num_frames=2)).num_frames == 2


def test_c3d_is_probed_at_its_own_size() -> None:
    config = clip_recognizer(4096, type='C3D', dropout_ratio=0.5)
    config['cls_head'] = dict(
        type='I3DHead', num_classes=CLASSES, in_channels=4096, spatial_type=None
    )
    with torch.device('meta'):
        model = build_recognizer('student', config)
    reader = TapReader(model, ['backbone.conv4b'])
    shapes = probe('t', model, ClipView('NCTHW'), reader).shapes
    assert shapes['backbone.conv4b'] == (512, 4, 14, 14)


def test_tokens_of_a_whole_clip_ask_for_their_frames() -> None:
    with pytest.raises(TapError, match=r'tokens of a whole clip.*say in layout='):
        distiller(
            teachers=dict(
                t=teacher(video_mae(), view=dict(num_frames=8, size=32)),
            ),
            heads=dict(
                h=dict(
                    type='mmvkd.FitNetsHead', tap='backbone.layer3', teacher_tap=BLOCK
                )
            ),
        )


def test_a_cnn_learns_from_the_tokens_of_a_clip_frame_by_frame() -> None:
    tap = dict(name=BLOCK, layout='N4LC')
    head = dict(type='mmvkd.FitNetsHead', tap='backbone.layer3', teacher_tap=tap)
    wrapper = teacher(video_mae(), view=dict(size=32, num_frames=8))
    model = distiller(teachers=dict(t=wrapper), heads=dict(fitnets=head))
    taught = model.teachers['t']
    seen = {}
    block = taught.model.backbone.blocks[1]
    hook = block.register_forward_hook(lambda m, i, out: seen.update(tokens=out))
    feature = taught({taught.view: torch.rand(2, 1, 3, 8, 32, 32)}, []).features[BLOCK]
    hook.remove()
    assert feature.shape == (2, 24, 4, 4, 4)
    # the second pair of frames, row 3, column 2
    assert torch.equal(feature[1, :, 1, 3, 2], seen['tokens'][1, 16 + 3 * 4 + 2])
    loss = losses(model.train(), batch(frames=8))['loss_fitnets']
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert model.student.backbone.conv1.conv.weight.grad.abs().sum() > 0


def test_of_divided_attention_the_class_token_is_left_out() -> None:
    name = 'backbone.transformer_layers.layers.1'
    model = build_recognizer('student', timesformer()).eval()
    view = ClipView.of(model, dict(size=32))
    reader = TapReader(model, [name], {name: 'NL4C'})
    probe('t', model, view, reader)
    taps = reader.recording(model)
    with torch.no_grad(), taps:
        model.extract_feat(torch.rand(2, 1, 3, 4, 32, 32), stage='head')
    raw = taps.outputs[name]
    assert raw.shape == (2, 1 + 16 * 4, 24)
    feature = reader.features(taps, 2)[name]
    # frame 3, row 2, column 1: patch 9
    assert torch.equal(feature[1, :, 3, 2, 1], raw[1, 1 + 9 * 4 + 3])


def test_a_teacher_that_is_given_a_clip_it_cannot_take_says_so() -> None:
    model = distiller(teachers=dict(t=teacher(video_mae(), view=dict(size=32))))
    message = re.escape("teacher 't' does not run on clips (2, 1, 3, 4, 32, 32)")
    with pytest.raises(RuntimeError, match=rf'{message}.*view=dict\(num_frames=…'):
        losses(model.train(), batch(frames=4))


def test_a_teacher_of_another_modality_is_told() -> None:
    of_flow = tiny_tsm()
    of_flow['backbone']['in_channels'] = 10
    of_flow['data_preprocessor'].update(mean=[128], std=[64])
    model = distiller(teachers=dict(t=teacher(of_flow)))
    told = r'it takes 10 channels and the clip has 3: teacher and student'
    with pytest.raises(RuntimeError, match=told):
        losses(model.train(), batch())


def test_a_teacher_whose_clip_is_too_short_is_named() -> None:
    model = distiller(teachers=dict(t=teacher(tiny_i3d(), view=dict(num_frames=64))))
    with pytest.raises(ValueError, match=r"^teacher 't': a view takes 64 frames"):
        losses(model.train(), batch())


def test_an_error_of_the_device_is_not_taken_for_one_of_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError('CUDA error: device-side assert triggered')

    model = distiller(teachers=dict(t=teacher(tiny_tsm())))
    monkeypatch.setattr(model.teachers['t'].model, 'extract_feat', fail)
    with pytest.raises(RuntimeError, match=r'^CUDA error'):
        losses(model.train(), batch())


def test_a_view_of_another_modality_is_told() -> None:
    view = ClipView(mean=(0.0, 1.0, 2.0), std=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r'2 channels, and mean=.* one modality'):
        view(torch.zeros(1, 1, 2, 4, 8, 8))


def test_a_student_of_one_clip_learns_too() -> None:
    model = distiller(
        video_mae(),
        dict(t=teacher(tiny_tsm())),
        student_view=dict(num_frames=8, size=32),
    )
    found = losses(model.train(), volumes(size=48))
    assert all(value.isfinite() for value in found.values())
