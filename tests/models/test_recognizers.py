"""Which recognizers can be named, and which are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmaction.models import ActionDataPreprocessor
from recognizer_toys import (
    backward,
    build,
    config,
    distiller,
    plain,
    teacher,
    tiny_slowfast,
    tiny_tsn,
    without_gradient,
)
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models.checkpoints import (
    find_checkpoint,
    load_weights,
    mismatch,
    plain_state,
)
from mmvkd.models.recognizers import (
    build_recognizer,
    recognizer_config,
    without_pretrained,
)

TSM_R50 = (
    'mmaction::recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'
)


def test_a_model_dict_is_taken_as_it_is_and_left_unchanged() -> None:
    model = tiny_tsm()
    taken = recognizer_config(model)
    assert taken == tiny_tsm()
    taken['backbone']['depth'] = 50
    assert model == tiny_tsm()


def test_a_model_zoo_config_is_found_by_name() -> None:
    model = recognizer_config(TSM_R50)
    assert model['backbone']['type'] == 'ResNetTSM'
    assert model['backbone']['depth'] == 50
    assert model['cls_head']['num_classes'] == 400


def test_a_named_config_is_changed_where_the_dict_says_so() -> None:
    changes = dict(
        config=TSM_R50,
        backbone=dict(pretrained=None, num_segments=4),
        cls_head=dict(num_classes=CLASSES, num_segments=4),
    )
    model = recognizer_config(changes)
    original = recognizer_config(TSM_R50)
    assert model['cls_head'].pop('num_classes') == CLASSES
    original['cls_head'].pop('num_classes')
    assert model['backbone'].pop('pretrained') is None
    original['backbone'].pop('pretrained')
    for part in ('backbone', 'cls_head'):
        assert model[part].pop('num_segments') == 4
        original[part].pop('num_segments', None)
    assert model == original


def test_a_config_can_be_replaced_in_part_by_delete() -> None:
    head = dict(type='TSNHead', num_classes=3, in_channels=2048, _delete_=True)
    model = recognizer_config(dict(config=TSM_R50, cls_head=head))
    assert model['cls_head'] == dict(type='TSNHead', num_classes=3, in_channels=2048)


def test_a_config_is_found_by_path(tmp_path: Path) -> None:
    path = tmp_path / 'model.py'
    path.write_text(f'model = {tiny_tsn()!r}\n')
    assert recognizer_config(str(path)) == tiny_tsn()


def test_a_distillers_config_names_its_student(tmp_path: Path) -> None:
    path = tmp_path / 'distill.py'
    path.write_text(f'model = {config(student=tiny_tsn())!r}\n')
    assert recognizer_config(str(path)) == tiny_tsn()
    # also where it names the student in turn
    path.write_text(f'model = {config(student=str(_file(tmp_path)))!r}\n')
    assert recognizer_config(str(path)) == tiny_tsn()


def _file(folder: Path) -> Path:
    path = folder / 'tsn.py'
    path.write_text(f'model = {tiny_tsn()!r}\n')
    return path


def test_a_config_that_does_not_exist_is_told() -> None:
    with pytest.raises(FileNotFoundError, match=r"'no/such\.py' does not exist"):
        recognizer_config('no/such.py')


def test_a_config_without_a_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'empty.py'
    path.write_text('a = 1\n')
    with pytest.raises(ValueError, match='has no `model`'):
        recognizer_config(str(path))


# Refused in a line


def gcn() -> dict:
    graph = dict(layout='coco', mode='spatial')
    return dict(
        type='RecognizerGCN',
        backbone=dict(type='STGCN', graph_cfg=graph),
        cls_head=dict(type='GCNHead', num_classes=CLASSES, in_channels=256),
    )


def audio() -> dict:
    return dict(
        type='RecognizerAudio',
        backbone=dict(type='ResNet', depth=18, in_channels=1, norm_eval=False),
        cls_head=dict(type='TSNAudioHead', num_classes=CLASSES, in_channels=512),
    )


@pytest.mark.parametrize(
    ('model', 'kind'), [(gcn(), 'RecognizerGCN'), (audio(), 'RecognizerAudio')]
)
def test_skeleton_graphs_and_audio_are_refused(model: dict, kind: str) -> None:
    for role, distilled in (
        ('student', config(student=model)),
        ('teacher', config(teachers=dict(t=teacher(model)))),
    ):
        with pytest.raises(TypeError, match=f'the {role} is a {kind}; .*video') as info:
            build(distilled, init=False)
        assert '\n' not in str(info.value)


def test_several_modalities_are_refused_in_a_line() -> None:
    model = tiny_slowfast()
    rgb = dict(type='ActionDataPreprocessor', format_shape='NCTHW')
    model['data_preprocessor'] = dict(
        type='MultiModalDataPreprocessor', preprocessors=dict(imgs=rgb)
    )
    with pytest.raises(TypeError, match=r'by MultiModalDataPreprocessor; .*one clip'):
        build(config(student=model), init=False)


def test_a_recognizer_without_a_head_is_refused() -> None:
    model = tiny_tsm()
    model.pop('cls_head')
    with pytest.raises(ValueError, match='the student has no cls_head'):
        build(config(student=model), init=False)


# Heatmaps


def posec3d() -> dict:
    backbone = dict(
        type='ResNet3dSlowOnly',
        depth=50,
        pretrained=None,
        in_channels=17,
        base_channels=8,
        num_stages=3,
        out_indices=(2,),
        stage_blocks=(1, 1, 1),
        dilations=(1, 1, 1),
        conv1_stride_s=1,
        pool1_stride_s=1,
        inflate=(0, 1, 1),
        spatial_strides=(2, 2, 2),
        temporal_strides=(1, 1, 2),
    )
    head = dict(type='I3DHead', in_channels=128, num_classes=CLASSES)
    return dict(type='Recognizer3D', backbone=backbone, cls_head=head)


def test_skeleton_heatmaps_distil_like_clips() -> None:
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        hint=dict(type='mmvkd.FitNetsHead', tap='backbone.layer3'),
    )
    model = distiller(posec3d(), dict(t=teacher(posec3d())), heads)
    data = batch()
    generator = torch.Generator().manual_seed(0)
    data['inputs'] = [torch.rand(1, 17, 8, 16, 16, generator=generator) for _ in 'ab']
    assert isinstance(model.student.data_preprocessor, ActionDataPreprocessor)
    values = backward(model.train(), data)
    assert values['loss_hint'] > 0 and values['loss_kd'] > 0
    assert without_gradient(model) == []


# Telling a foreign checkpoint


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (lambda s: s, ''),
        (lambda s: {k: s[k] for k in list(s)[1:]}, r'1 of 122 keys missing \(as back'),
        (lambda s: {**s, 'x.y': torch.zeros(1)}, r'1 unknown keys \(as x\.y\)'),
        (
            lambda s: {**s, 'cls_head.fc_cls.bias': torch.zeros(9)},
            r'1 of another shape \(cls_head.fc_cls.bias: .* \(9,\), model \(4,\)',
        ),
    ],
    ids=['own', 'missing', 'unknown', 'resized'],
)
def test_a_mismatch_is_named(change: Any, problem: str) -> None:
    model = plain(tiny_tsm())
    found = mismatch(model, change(dict(model.state_dict())))
    assert re.match(problem, found) if problem else found == '', found


def test_a_student_built_from_a_mapping_keeps_its_own_pretrained() -> None:
    model = tiny_tsm()
    model['backbone']['pretrained'] = '/nowhere.pth'
    assert build_recognizer('student', model).backbone.pretrained == '/nowhere.pth'


def test_the_last_checkpoint_of_a_run_is_found_where_its_folder_was_moved(
    tmp_path: Path,
) -> None:
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/run/epoch_3.pth')
    assert find_checkpoint(str(tmp_path)) is None
    (tmp_path / 'epoch_3.pth').touch()
    assert find_checkpoint(str(tmp_path)) == str(tmp_path / 'epoch_3.pth')


def test_a_checkpoint_is_found_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'own.pth').touch()
    assert find_checkpoint('~/own.pth') == str(tmp_path / 'own.pth')


# one of each family, but for OmniSource, whose recognizer takes no single clip
ZOO = (
    'c2d/c2d_r50-in1k-pre_8xb32-8x8x1-100e_kinetics400-rgb',
    'c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb',
    'csn/ircsn_ig65m-pretrained-r50-bnfrozen_8xb12-32x2x1-58e_kinetics400-rgb',
    'i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb',
    'mvit/mvit-small-p244_k400-maskfeat-pre_8xb32-16x4x1-100e_kinetics400-rgb',
    'r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb',
    'slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb',
    'slowonly/slowonly_imagenet-pretrained-r50_8xb16-4x16x1-steplr-150e_kinetics400-rgb',
    'swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb',
    'tanet/tanet_imagenet-pretrained-r50_8xb8-dense-1x1x8-100e_kinetics400-rgb',
    'timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb',
    'tin/tin_kinetics400-pretrained-tsm-r50_1x1x8-50e_kinetics400-rgb',
    'tpn/tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb',
    'trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb',
    'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb',
    'tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb',
    'uniformer/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb',
    'uniformerv2/uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb',
    'videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400',
    'videomaev2/vit-small-p16_videomaev2-vit-g-dist-k710-pre_16x4x1_kinetics-400',
    'x3d/x3d_s_13x6x1_facebook-kinetics400-rgb',
)


@pytest.mark.parametrize('name', ZOO, ids=lambda name: name.split('/')[0])
def test_each_family_of_the_zoo_is_built_without_its_weights(name: str) -> None:
    config = without_pretrained(f'mmaction::recognition/{name}.py')
    backbone = build_recognizer('teacher', config).backbone
    for setting in ('pretrained', 'pretrained_type', 'clip_pretrained'):
        assert not getattr(backbone, setting, None)
    assert 'Pretrained' not in str(config)


def test_what_names_weights_is_set_to_none_and_the_rest_stays() -> None:
    config = tiny_tsm()
    named = dict(pretrained='a.pth', weights='b', clip_pretrained=True, depth=18)
    config['backbone'] = dict(type='X', pretrained_type='c', **named)
    assert without_pretrained(config)['backbone'] == dict(
        type='X',
        pretrained=None,
        pretrained_type=None,
        weights=None,
        clip_pretrained=False,
        depth=18,
    )


def test_what_a_tpn_head_copies_when_it_tests_is_no_part_of_a_checkpoint(
    tmp_path: Path,
) -> None:
    model = plain(tiny_tsm())
    copy = {'cls_head.new_cls.weight': torch.zeros(4, 5, 1, 1, 1)}
    path = tmp_path / 'tested.pth'
    torch.save(dict(state_dict={**model.state_dict(), **copy}), path)
    load_weights('teacher', model, str(path))
    for training in (False, True):
        state = plain_state(torch.load(path), training)
        assert mismatch(model, state, training) == ''
