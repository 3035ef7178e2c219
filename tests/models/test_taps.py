"""Taps hold what a module returned, as (N, C, T, H, W), with its gradient."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from recognizer_toys import (
    distiller,
    file_of,
    losses,
    plain,
    step,
    teacher,
    tiny_mmpretrain,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    tiny_vit,
    volumes,
)
from torch import Tensor, nn
from toys import batch, tiny_tsm

from mmvkd.models.layouts import TapError, canonical, infer_layout, native
from mmvkd.models.probe import probe
from mmvkd.models.recognizers import build_recognizer
from mmvkd.models.taps import TapReader
from mmvkd.models.views import ClipView

IMAGE = (192, 320)


def tapped(
    model: nn.Module, inputs: Tensor, *names: str
) -> tuple[dict[str, Tensor], dict[str, tuple], TapReader]:
    """Features by tap, the probed shapes, and the reader."""
    reader = TapReader(model, names)
    card = probe('student', model, ClipView.of(model), reader)
    taps = reader.recording(model)
    with taps:
        model.extract_feat(inputs, stage='head')
    return reader.features(taps, inputs.shape[0]), dict(card.shapes), reader


def outputs_of(model: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """What a module returned, kept at once and by other means."""
    kept = []
    module = dict(model.named_modules())[name]
    handle = module.register_forward_hook(lambda m, i, o: kept.append(o.clone()))
    model.extract_feat(inputs, stage='head')
    handle.remove()
    return kept[-1]


def built(config: dict) -> nn.Module:
    torch.manual_seed(0)
    return build_recognizer('student', config).eval()


# Layouts


def test_a_2d_cnn_gives_frames_on_the_time_axis() -> None:
    model, inputs = built(tiny_tsm()), torch.randn(2, 4, 3, 64, 32)
    features, shapes, _ = tapped(model, inputs, 'backbone.layer2', 'cls_head.fc_cls')
    raw = outputs_of(model, 'backbone.layer2', inputs)
    got = features['backbone.layer2']
    assert got.shape == (2, 128, 4, 8, 4)
    for n in range(2):
        for t in range(4):
            assert torch.equal(got[n, :, t], raw[4 * n + t])
    assert shapes['backbone.layer2'][:2] == (128, 4)
    assert features['cls_head.fc_cls'].shape == (2, 4, 4, 1, 1)


def test_a_3d_cnn_gives_its_features_as_they_are() -> None:
    model, inputs = built(tiny_slowfast()), torch.randn(2, 1, 3, 8, 64, 32)
    names = [
        f'backbone.{path}.layer{i}'
        for path in ('slow_path', 'fast_path')
        for i in (1, 4)
    ]
    features, shapes, reader = tapped(model, inputs, *names)
    assert set(reader.layouts.values()) == {'NCTHW'}
    for name in names:
        assert torch.equal(features[name], outputs_of(model, name, inputs))
    assert features['backbone.slow_path.layer4'].shape == (2, 512, 2, 2, 1)
    assert features['backbone.fast_path.layer4'].shape == (2, 64, 8, 2, 1)
    assert shapes['backbone.fast_path.layer4'][0] == 64


def test_swin_blocks_have_their_channels_moved_forward() -> None:
    model, inputs = built(tiny_swin()), torch.randn(2, 1, 3, 8, 64, 32)
    names = ['backbone.layers.0.blocks.0', 'backbone.layers.3', 'backbone.norm3']
    features, shapes, reader = tapped(model, inputs, *names)
    assert reader.layouts[names[0]] == 'NTHWC'
    for name in names:
        raw = outputs_of(model, name, inputs)
        kept = reader.layouts[name]
        expected = raw.permute(0, 4, 1, 2, 3) if kept == 'NTHWC' else raw
        assert torch.equal(features[name], expected)
    assert features['backbone.layers.0.blocks.0'].shape == (2, 12, 4, 16, 8)
    # channels by name, whatever the module returned
    assert [shapes[name][0] for name in names] == [12, 96, 96]


def test_vit_tokens_become_a_square_map_without_the_class_token() -> None:
    model, inputs = built(tiny_vit()), torch.randn(2, 3, 3, 32, 32)
    features, shapes, reader = tapped(model, inputs, 'backbone.layers.1')
    assert reader.layouts['backbone.layers.1'] == 'NLC'
    raw = outputs_of(model, 'backbone.layers.1', inputs)
    assert raw.shape == (6, 17, 24)
    got = features['backbone.layers.1']
    assert got.shape == (2, 24, 3, 4, 4)
    # clip 1, frame 2, row 3, column 1
    assert torch.equal(got[1, :, 2, 3, 1], raw[5, 1 + 3 * 4 + 1])
    assert shapes['backbone.layers.1'][0] == 24


@pytest.mark.parametrize(
    ('shape', 'layout'),
    [
        ((8, 5, 6, 10), 'NTCHW'),
        ((2, 16, 4, 6, 10), 'NCTHW'),
        ((2, 4, 6, 10, 16), 'NTHWC'),
        ((2, 256, 8, 12, 20), 'NCTHW'),
        ((2, 8, 12, 20, 32), 'NTHWC'),
        ((2, 16, 4, 13, 22), 'NCTHW'),
        ((2, 16, 1, 1, 1), 'NCTHW'),
        ((8, 6, 10, 5), 'NHWC'),
        ((8, 5, 1, 1), 'NTCHW'),
        ((2, 17, 8), 'NLC'),
        ((17, 6, 8), 'LNC'),
        ((2, 8), 'NC'),
    ],
)
def test_a_layout_is_told_from_the_shape(shape: tuple, layout: str) -> None:
    assert infer_layout('x', torch.zeros(shape), 2, IMAGE) == layout


@pytest.mark.parametrize(
    'shape', [(2, 4, 7, 7, 7), (2, 4, 9, 15, 25), (2,), (3, 4, 6, 10, 16)]
)
def test_a_shape_that_fits_two_layouts_or_none_asks(shape: tuple) -> None:
    with pytest.raises(TapError, match=r"tap 'x' cannot be told .*say layout=, one of"):
        infer_layout('x', torch.zeros(shape), 2, IMAGE)


def test_a_layout_said_in_the_config_is_taken() -> None:
    tap = dict(name='backbone.layers.0.blocks.0', layout='NCTHW')
    head = dict(type='mmvkd.FitNetsHead', tap='backbone.layer4', teacher_tap=tap)
    model = distiller(teachers=dict(t=teacher(tiny_swin())), heads=dict(h=head))
    assert model.teachers['t'].reader.layouts == {tap['name']: 'NCTHW'}
    head['teacher_tap'] = dict(tap, layout='HWC')
    with pytest.raises(TapError, match="layout 'HWC' is unknown; known: NTCHW"):
        distiller(teachers=dict(t=teacher(tiny_swin())), heads=dict(h=head))
    head['teacher_tap'] = dict(tap, layout='NLC')
    with pytest.raises(TapError, match="is not in layout 'NLC'"):
        distiller(teachers=dict(t=teacher(tiny_swin())), heads=dict(h=head))


def test_tokens_without_a_square_become_a_row() -> None:
    assert canonical(torch.zeros(2, 7, 5), 'NLC', 2).shape == (2, 5, 1, 1, 7)


@pytest.mark.parametrize('token', [0, 1])
def test_tokens_of_several_frames_become_their_maps(token: int) -> None:
    # [N, T, H, W, C]: 2 clips of 3 frames of 4² tokens
    maps = torch.rand(2, 3, 4, 4, 5)
    expected = maps.permute(0, 4, 1, 2, 3)
    first = torch.rand(2, token, 5)
    by_frame = torch.cat([first, maps.flatten(1, 3)], dim=1)
    assert torch.equal(canonical(by_frame, 'N3LC', 2), expected)
    by_place = torch.cat([first, maps.permute(0, 2, 3, 1, 4).flatten(1, 3)], dim=1)
    assert torch.equal(canonical(by_place, 'NL3C', 2), expected)


@pytest.mark.parametrize(('layout', 'length'), [('N4LC', 50), ('N4LC', 3), ('N0LC', 8)])
def test_tokens_of_another_number_of_frames_are_told(layout: str, length: int) -> None:
    with pytest.raises(TapError, match=f'{length} tokens of a clip are not those of'):
        canonical(torch.zeros(2, length, 5), layout, 2)


@pytest.mark.parametrize('layout', ['N4LC', 'NL4C'])
def test_tokens_of_single_frames_are_not_those_of_a_clip(layout: str) -> None:
    with pytest.raises(TapError, match=f"is not in layout '{layout}' for 2 clips"):
        canonical(torch.zeros(8, 16, 5), layout, 2)


# What cannot be tapped


def test_a_module_that_returns_a_tuple_is_refused_with_those_inside() -> None:
    model = built(tiny_slowfast())
    match = "'backbone' returns a tuple, not a tensor; .*backbone.slow_path"
    with pytest.raises(TapError, match=match):
        probe('student', model, ClipView.of(model), TapReader(model, ['backbone']))


def test_the_modules_of_a_list_are_named_rather_than_the_list() -> None:
    model = built(tiny_vit())
    reader = TapReader(model, ['backbone.layers'])
    match = r"'backbone\.layers' is not called .* such as backbone\.layers\.0, "
    with pytest.raises(TapError, match=match):
        probe('student', model, ClipView.of(model), reader)
    match = r'not a tensor; tap a module inside it: .*backbone\.layers\.0, '
    with pytest.raises(TapError, match=match):
        probe('student', model, ClipView.of(model), TapReader(model, ['backbone']))


def test_a_module_that_is_called_twice_has_no_one_output() -> None:
    model = built(tiny_tsm())
    stage = model.backbone.layer1
    stage[1] = stage[0]
    reader = TapReader(model, ['backbone.layer1.0'])
    match = r"'backbone\.layer1\.0' is called 2 times .* module that calls it"
    with pytest.raises(TapError, match=match):
        probe('student', model, ClipView.of(model), reader)


def test_a_module_that_is_not_called_is_refused() -> None:
    config = tiny_tsm(out_indices=(1,))
    config['cls_head']['in_channels'] = 128
    model = built(config)
    reader = TapReader(model, ['backbone.layer1', 'cls_head.loss_cls'])
    with pytest.raises(TapError, match=r"'cls_head\.loss_cls' is not called"):
        probe('student', model, ClipView.of(model), reader)


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('backbone.layr4', 'backbone.layer4'),
        ('layer4', 'backbone.layer4'),
        ('', 'backbone.conv1'),
        ('zzzz', 'backbone.conv1'),
    ],
)
def test_an_unknown_name_is_told_with_what_is_near(name: str, near: str) -> None:
    with pytest.raises(TapError) as info:
        TapReader(built(tiny_tsm()), [name])
    assert near in str(info.value) and '\n' not in str(info.value)


# Values before an in-place operation


@pytest.mark.parametrize(
    'name',
    ['backbone.layer1.0.conv1.bn', 'backbone.conv1.bn', 'backbone.layer2.0.conv2.bn'],
)
def test_a_tap_before_an_in_place_relu_holds_the_values_before_it(name: str) -> None:
    model, inputs = built(tiny_tsn()), torch.randn(2, 4, 3, 32, 32)
    features, _, reader = tapped(model, inputs, name)
    raw = outputs_of(model, name, inputs)
    got = features[name].transpose(1, 2).flatten(0, 1)
    assert (raw < 0).any()
    assert torch.equal(got, raw)
    if name.endswith('conv1.bn'):
        assert reader.cloned == (name,)


def test_a_tap_that_nothing_changes_is_not_copied() -> None:
    model, inputs = built(tiny_tsn()), torch.randn(1, 2, 3, 32, 32)
    _, _, reader = tapped(model, inputs, 'backbone.layer1')
    assert reader.cloned == ()


def test_a_feature_loss_before_an_in_place_relu_has_the_right_gradient() -> None:
    tap = 'backbone.layer1.0.conv1.bn'
    head = dict(type='mmvkd.FitNetsHead', tap=tap)
    model = distiller(tiny_tsn(), dict(t=teacher(tiny_tsn())), dict(h=head)).eval()
    losses(model, batch())['loss_h'].backward()
    changed = copy.deepcopy(model)
    for module in changed.student.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    changed.zero_grad()
    losses(changed, batch())['loss_h'].backward()
    gradient = model.student.backbone.conv1.conv.weight.grad
    assert gradient.abs().sum() > 0
    assert torch.equal(gradient, changed.student.backbone.conv1.conv.weight.grad)


def test_a_change_that_the_dry_pass_did_not_see_is_an_error() -> None:
    model, inputs = built(tiny_tsn()), torch.randn(2, 4, 3, 32, 32)
    reader = TapReader(model, ['backbone.layer1.0.conv1.bn'])
    reader.layouts['backbone.layer1.0.conv1.bn'] = 'NTCHW'
    taps = reader.recording(model)
    with taps:
        model.extract_feat(inputs)
    with pytest.raises(TapError, match='was changed in place'):
        reader.features(taps, 2)


def test_no_hook_stays_on_the_model_even_after_an_error() -> None:
    model = built(tiny_tsm())
    reader = TapReader(model, ['backbone.layer1'])
    with pytest.raises(RuntimeError), reader.recording(model):
        model.extract_feat(torch.zeros(1, 4, 5, 32, 32))
    assert not any(m._forward_hooks for m in model.modules())
    made = distiller(heads=dict(h=dict(type='mmvkd.FitNetsHead', tap='backbone')))
    step(made, batch())
    for module in (made.student, made.teachers['t'].model):
        assert not any(m._forward_hooks for m in module.modules())


# Checkpointed blocks


def gradients(student: dict, tap: str, teacher_path: str) -> tuple[Any, dict]:
    """The feature term alone: its value and the student's gradients."""
    head = dict(type='mmvkd.FitNetsHead', tap=tap)
    model = distiller(student, dict(t=teacher(checkpoint=teacher_path)), dict(h=head))
    term = losses(model.train(), batch())['loss_h']
    term.backward()
    return term, {name: p.grad for name, p in model.student.named_parameters()}


@pytest.mark.parametrize('tap', ['backbone.layer2', 'backbone.layer4'])
def test_a_feature_loss_reaches_the_layers_below_a_checkpointed_stage(
    tap: str, tmp_path: Any
) -> None:
    path = file_of(plain(tiny_tsm(), seed=7), tmp_path / 'teacher.pth')
    term, got = gradients(tiny_tsm(50, with_cp=True), tap, path)
    expected_term, expected = gradients(tiny_tsm(50), tap, path)
    torch.testing.assert_close(term, expected_term)
    assert got['backbone.conv1.conv.weight'].abs().sum() > 0
    for name, gradient in expected.items():
        if gradient is None:
            assert got[name] is None, name
        else:
            torch.testing.assert_close(got[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    'tap',
    [
        'backbone.layer2.0.conv1',
        'backbone.layer2.0.conv1.bn',
        'backbone.layer2.1.conv2',
    ],
)
def test_a_tap_inside_a_checkpointed_block_raises(tap: str, tmp_path: Any) -> None:
    path = file_of(plain(tiny_tsm(), seed=7), tmp_path / 'teacher.pth')
    with pytest.raises(TapError, match=r'inside a checkpointed block.*around'):
        gradients(tiny_tsm(50, with_cp=True), tap, path)


def test_checkpointed_3d_students_learn_by_features() -> None:
    student = tiny_slowfast()
    for path in ('slow_pathway', 'fast_pathway'):
        student['backbone'][path]['with_cp'] = True
    head = dict(type='mmvkd.FitNetsHead', tap='backbone.slow_path.layer3')
    model = distiller(student, dict(t=teacher(tiny_slowfast())), dict(h=head))
    losses(model.train(), volumes())['loss_h'].backward()
    below = model.student.backbone.slow_path.conv1.conv.weight.grad
    assert below.abs().sum() > 0


def test_a_mmpretrain_cnn_is_tapped_like_any_2d_one() -> None:
    model, inputs = built(tiny_mmpretrain()), torch.randn(2, 4, 3, 32, 32)
    features, _, _ = tapped(model, inputs, 'backbone.layer3')
    assert features['backbone.layer3'].shape == (2, 256, 4, 2, 2)


@pytest.mark.parametrize(
    ('layout', 'shape'),
    [
        ('NTCHW', (6, 5, 2, 4)),
        ('NTHWC', (2, 3, 2, 4, 5)),
        ('NCTHW', (2, 5, 3, 2, 4)),
        ('NLC', (6, 16, 5)),
        ('NLC', (6, 7, 5)),
        ('LNC', (16, 6, 5)),
        ('NHWC', (6, 2, 4, 5)),
        ('N3LC', (2, 48, 5)),
        ('NL3C', (2, 48, 5)),
        ('NL12C', (2, 48, 5)),
        ('NC', (6, 5)),
    ],
)
def test_a_feature_goes_back_to_what_the_module_returned(
    layout: str, shape: tuple[int, ...]
) -> None:
    output = torch.rand(shape)
    assert torch.equal(native(canonical(output, layout, 2), layout), output)
