"""Wrong configs of a distiller end before the first step, in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recognizer_toys import (
    build,
    config,
    distiller,
    fitnets,
    plain,
    step,
    teacher,
)
from toys import batch, tiny_tsm

from mmvkd.models.layouts import TapError


def refused(error: type[Exception], match: str, **kwargs: Any) -> None:
    with pytest.raises(error, match=match) as info:
        build(config(**kwargs), init=False)
    assert '\n' not in str(info.value)


def test_an_unknown_tap_is_told_with_what_is_near() -> None:
    near = r"'backbone.layr4' is not in Recognizer2D; near: .*backbone\.layer4"
    refused(TapError, f'^student: tap {near}', heads=dict(h=fitnets('backbone.layr4')))
    heads = dict(h=fitnets('backbone.layer4', teacher_tap='backbone.layr4'))
    refused(TapError, f"^teacher 't': tap {near}", heads=heads)


def test_what_is_no_model_is_told() -> None:
    refused(ValueError, 'a model is a dict, or .* of a config; got 5', student=5)
    of = dict(type='mmvkd.RecognizerTeacher', checkpoint='x.pth')
    told = r"^teacher 't': a model needs a type, or config=PATH .* it has model$"
    refused(ValueError, told, teachers=dict(t=dict(of, model=dict(model='x.py'))))
    told = r"^teacher 't': config 'x\.py' does not exist"
    refused(FileNotFoundError, told, teachers=dict(t=dict(of, model='x.py')))


def test_no_name_may_contain_loss() -> None:
    refused(ValueError, "head 'my_loss'", heads=dict(my_loss=dict(type='mmvkd.KDHead')))
    told = "teacher 'lossless': MMEngine sums every key of the log with 'loss' in it"
    refused(ValueError, told, teachers=dict(lossless=teacher()))
    cuts = dict(early='backbone.layer2', lossy='backbone.layer4')
    told = r"head 'h' logs 'distance_lossy': .*give what it is named after another name"
    head = dict(type='mmvkd.SubstageHead', substages=cuts)
    refused(ValueError, told, heads=dict(h=head))


@pytest.mark.parametrize(
    ('heads', 'key'),
    [
        (dict(cls=dict(type='mmvkd.KDHead')), 'cls'),
        (dict(scales=dict(type='mmvkd.KDHead')), 'scales'),
        (
            dict(
                dist=dict(type='mmvkd.DISTHead'), dist_inter=dict(type='mmvkd.KDHead')
            ),
            'dist_inter',
        ),
    ],
)
def test_a_head_whose_term_would_replace_another_is_refused(
    heads: dict, key: str
) -> None:
    refused(ValueError, f"'{key}' would be logged .* another name$", heads=heads)


@pytest.mark.parametrize('name', ['layer.4', 'keys'])
def test_a_name_that_no_module_can_have_is_refused(name: str) -> None:
    kd = dict(type='mmvkd.KDHead')
    refused(ValueError, f"no head can have the name '{name}'", heads={name: kd})
    teachers = {name: teacher()}
    refused(ValueError, f"no teacher can have the name '{name}'", teachers=teachers)


@pytest.mark.parametrize('order', [1, -1])
def test_a_layout_that_one_head_says_holds_for_all(order: int) -> None:
    tap = dict(name='backbone.layer4', layout='NTCHW')
    said, plain_ = fitnets(teacher_tap=tap), fitnets()
    heads = dict(list(dict(said=said, plain=plain_).items())[::order])
    model = distiller(heads=heads)
    assert model.teachers['t'].reader.layouts['backbone.layer4'] == 'NTCHW'
    heads['other'] = fitnets(teacher_tap=dict(tap, layout='NCTHW'))
    told = "'backbone.layer4' has layout='NTCHW' in one head and 'NCTHW' in another"
    refused(ValueError, told, heads=heads)


def test_an_unknown_teacher_in_a_head_is_told() -> None:
    heads = dict(kd=dict(type='mmvkd.KDHead', teachers=['u']))
    refused(ValueError, "names teacher 'u'; the config has t", heads=heads)
    heads = dict(kd=dict(type='mmvkd.KDHead', teachers=['t', 't']))
    refused(ValueError, "names teacher 't' more than once", heads=heads)


def test_one_teacher_of_a_head_may_be_a_word() -> None:
    model = distiller(heads=dict(kd=dict(type='mmvkd.KDHead', teachers='t')))
    assert model.heads['kd'].teachers == ('t',)


def test_a_tap_missing_for_a_teacher_is_told() -> None:
    heads = dict(h=fitnets(teacher_tap=dict(u='backbone.layer4')))
    told = "head 'h': teacher_tap has none for teacher 't'; it has u"
    refused(ValueError, told, heads=heads)


def test_a_loss_that_would_not_run_is_refused() -> None:
    student = plain(tiny_tsm())
    penalized = type('Penalized', (type(student.cls_head),), dict(loss=lambda: None))
    student.cls_head.__class__ = penalized
    refused(TypeError, r'Penalized has a loss\(\) of its own', student=student)


def test_a_preprocessor_that_would_not_run_is_refused() -> None:
    student = plain(tiny_tsm())
    kind = type(student.data_preprocessor)
    dimmed = type('Dimmed', (kind,), dict(preprocess=lambda self, data, training: data))
    student.data_preprocessor.__class__ = dimmed
    refused(TypeError, r'Dimmed, which has a preprocess\(\) of its', student=student)


def test_several_modalities_are_refused() -> None:
    data = batch()
    data['inputs'] = dict(imgs=data['inputs'])
    with pytest.raises(TypeError, match='a batch of dict is not one clip per sample'):
        build(config()).data_preprocessor(data, training=True)


def test_batches_of_several_loaders_are_refused() -> None:
    data = (batch(), batch())
    with pytest.raises(TypeError, match=r'a step has 2 batches.* takes one'):
        build(config()).data_preprocessor(data, training=True)


def test_a_head_without_a_teacher_is_refused() -> None:
    refused(ValueError, "head 'kd' has no teacher", teachers={})
    heads = dict(kd=dict(type='mmvkd.KDHead', teachers=[]))
    refused(ValueError, "head 'kd' has no teacher", heads=heads)


def test_a_misspelt_name_is_told() -> None:
    heads = dict(kd=dict(type='mmvkd.KDHead'), kdd=dict(temperature=3.0))
    refused(ValueError, "head 'kdd' has no type, but .*; there is kd$", heads=heads)
    teachers = dict(tsm_r50=teacher(), tsm50=dict(checkpoint='x.pth'))
    told = "teacher 'tsm50' has no type, but .*; there is tsm_r50$"
    refused(ValueError, told, teachers=teachers)
    refused(ValueError, "head 'kd' has no type, but None$", heads=dict(kd=None))


def test_an_unknown_head_is_told() -> None:
    refused(KeyError, 'mmvkd.NoHead', heads=dict(h=dict(type='mmvkd.NoHead')))


def test_a_teacher_of_other_classes_serves_features_only() -> None:
    teachers = dict(t=teacher(tiny_tsm(num_classes=9)))
    for kind in ('KD', 'ZScoreKD', 'DIST', 'DKD', 'LogitsGraph'):
        refused(
            ValueError,
            "teacher 't' has 9 classes, the student 4",
            teachers=teachers,
            heads=dict(h=dict(type=f'mmvkd.{kind}Head')),
        )
    model = distiller(teachers=teachers, heads=dict(hint=fitnets()))
    entries = step(model, batch())
    assert torch.isfinite(entries['loss_hint'])
    assert 't_top1_acc' not in entries


def test_a_batch_of_several_modalities_is_refused() -> None:
    data = batch()
    data['inputs'] = [dict(imgs=x) for x in data['inputs']]
    with pytest.raises(TypeError, match='not one clip per sample'):
        step(distiller(), data)


@pytest.mark.parametrize(
    'tap', [dict(layout='NLC'), dict(name='backbone', layuot='NLC'), ['backbone'], 3]
)
def test_a_tap_that_is_none_is_told(tap: Any) -> None:
    with pytest.raises(ValueError, match='is no tap; expected the dotted name of a'):
        build(config(heads=dict(h=fitnets(tap=tap))))


@pytest.mark.parametrize(
    ('wrong', 'told'),
    [
        (
            dict(heads=dict(h=dict(type='mmvkd.KDHead', temperature=0))),
            "^head 'h': temperature must be above 0, got 0$",
        ),
        (
            dict(heads=dict(h=dict(type='mmvkd.KDHead', temperature='4'))),
            "^head 'h': temperature must be above 0, got '4'$",
        ),
        (
            dict(teachers=dict(t=tiny_tsm())),
            "^teacher 't': a Recognizer2D is no teacher until it is wrapped: .*model=",
        ),
        (
            dict(teachers=[teacher()]),
            '^teachers are a dict of configs by name, got a list: teachers=dict',
        ),
        (
            dict(heads=[fitnets()]),
            '^heads are a dict of configs by name, got a list: heads=dict',
        ),
        (
            dict(teachers=dict(t=teacher(micro_batch=0))),
            "^teacher 't': micro_batch must be 1 or more, got 0$",
        ),
        (
            dict(heads=dict(h_loss=dict(type='mmvkd.KDHead'))),
            "^head 'h_loss': MMEngine sums",
        ),
    ],
)
def test_a_wrong_head_or_teacher_is_named_once(wrong: dict, told: str) -> None:
    refused(ValueError, told, **wrong)


def test_a_teacher_that_sees_raw_frames_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    where = 'mmvkd.models.distillers.checks.print_log'
    monkeypatch.setattr(where, lambda text, **_: told.append(text))
    bare = {k: v for k, v in tiny_tsm().items() if k != 'data_preprocessor'}
    build(config(teachers=dict(u=teacher(), t=teacher(bare))), init=False)
    assert [line.partition(',')[0] for line in told] == [
        "teacher 't' sees frames in 0..255"
    ]
    # where the student sees them, too, nothing is wrong
    build(config(student=bare, teachers=dict(t=teacher(bare))), init=False)
    assert len(told) == 1
