"""The substage head: where models are cut, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recognizer_toys import (
    backward,
    config,
    step,
    tiny_slowfast,
    tiny_swin,
    volumes,
    without_gradient,
)
from substage_toys import ALL, STAGES, one_term, short, staged
from toys import batch, tiny_tsm

from mmvkd.models import CachedTeacher, SubstageHead
from mmvkd.registry import MODELS


def test_both_are_cut_where_their_architecture_says() -> None:
    head = staged().heads['s']
    expected = dict.fromkeys(f'backbone.layer{i}' for i in range(1, 4))
    assert head.names == STAGES
    assert head.student_taps() == head.teacher_taps('t') == expected


def test_paths_side_by_side_are_one_substage() -> None:
    model = staged(tiny_slowfast(), tiny_slowfast())
    connectors = model.heads['s'].connectors['t']['stage2']
    sizes = [(c.conv.in_channels, c.conv.out_channels) for c in connectors]
    assert sizes == [(128, 128), (16, 16)]
    entries = step(model, volumes())
    assert torch.isfinite(entries['loss'])


def test_a_path_without_a_partner_is_taught_by_the_only_one_there_is() -> None:
    model = staged(tiny_tsm(frames=8), tiny_slowfast())
    connectors = model.heads['s'].connectors['t']['stage2']
    sizes = [(c.conv.in_channels, c.conv.out_channels) for c in connectors]
    assert sizes == [(128, 128), (128, 16)]
    backward(model, batch(frames=8))
    assert without_gradient(model) == []


def test_a_backbone_that_is_not_known_is_cut_where_the_config_says() -> None:
    cut = dict(
        front=dict(student='backbone.layer1', teacher=dict(t='backbone.layers.0')),
        back=dict(
            student=['backbone.layer3'],
            teacher=dict(name='backbone.layers.2', layout='NTHWC'),
        ),
    )
    model = staged(tiny_tsm(frames=8), tiny_swin(), substages=cut)
    head = model.heads['s']
    assert head.names == ('front', 'back')
    assert head.teacher_taps('t')['backbone.layers.2'] == 'NTHWC'
    backward(model, batch(frames=8, size=64))
    assert without_gradient(model) == []


@pytest.mark.parametrize(
    ('student', 'model', 'match'),
    [
        (None, tiny_swin(), r"where to cut teacher 't' \(SwinTransformer3D\)"),
        (tiny_swin(), tiny_tsm(), 'where to cut the student'),
    ],
)
def test_a_backbone_that_is_not_known_must_be_told(
    student: Any, model: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match + '.* is not known; name the taps'):
        staged(student, model)


def test_unequal_numbers_of_substages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stage1, stage2, teacher 't' has .*stage3"):
        staged(short(stages=2))


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(correlation='dot'), "correlation 'dot' is unknown; known: pearson, cka"),
        (dict(hybrids='two'), "hybrids 'two' is unknown; known: one, all"),
        (dict(weighting='no'), "weighting 'no' is unknown; known: distribution"),
        (dict(distance='emd'), "distance 'emd' is unknown; known: gaussian, mmd"),
        (
            one_term('correlation', correlation='cka'),
            "connector, which correlation='cka' alone does not train",
        ),
        (dict(terms=dict(shape=1.0)), "terms has 'shape' .* be given to correlation"),
    ],
)
def test_a_wrong_name_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SubstageHead(**wrong)


def test_the_correlation_alone_is_the_default() -> None:
    assert SubstageHead().terms == dict(correlation=1.0)
    assert SubstageHead(terms=dict(combination=0.1)).terms == dict(
        correlation=1.0, combination=0.1
    )


def test_a_wrong_substage_is_told() -> None:
    with pytest.raises(ValueError, match="combined: 'stage9' is not one of stage1, st"):
        staged(combined=['stage9'])


def test_a_substage_without_a_tap_of_a_teacher_is_told() -> None:
    tap = 'backbone.layer1'
    cut = dict(a=dict(student=tap, teacher=dict(other=tap)))
    told = "substages has none for teacher 't'; it has other"
    with pytest.raises(ValueError, match=told):
        staged(short(), short(), substages=cut)


@pytest.mark.parametrize(
    'tap', ['backbone.layer1', ['backbone.layer1'], dict(name='backbone.layer1')]
)
def test_a_tap_of_both_may_stand_alone(tap: Any) -> None:
    head = staged(short(), short(), substages=dict(a=tap)).heads['s']
    assert [*head.student_taps()] == [*head.teacher_taps('t')] == ['backbone.layer1']


@pytest.mark.parametrize(
    'cut', [dict(teacher='a'), dict(student='a', teachers='b'), dict(layout='NLC')]
)
def test_a_substage_that_is_none_is_told(cut: Any) -> None:
    with pytest.raises(ValueError, match=r"'early' is \{.*; expected a tap, a list of"):
        staged(short(), short(), substages=dict(early=cut))
    with pytest.raises(ValueError, match='substages is a dict of taps by name, got'):
        staged(short(), short(), substages=['backbone.layer1'])


def test_a_teacher_that_ran_before_has_no_hybrid(tmp_path: Path) -> None:
    cached = dict(
        type='mmvkd.CachedTeacher',
        model=tiny_tsm(),
        checkpoint=str(tmp_path / 'no.pth'),
        store=str(tmp_path / 'store'),
    )
    assert isinstance(MODELS.build(dict(cached)), CachedTeacher)
    head = dict(type=SubstageHead, terms=ALL)
    model = config(teachers=dict(t=cached), heads=dict(s=head))
    with pytest.raises(ValueError, match="'t' is a CachedTeacher, which cannot"):
        MODELS.build(model)
    # what it kept still teaches
    tap = 'backbone.layer2'
    cut = dict(terms=dict(combination=0.0), substages=dict(a=dict(student=tap)))
    model['heads']['s'].update(cut)
    assert MODELS.build(model).heads['s'].names == ('a',)


def test_a_hybrid_of_other_classes_is_refused() -> None:
    with pytest.raises(
        ValueError, match="hybrid: teacher 't' has 7 classes, the student 4"
    ):
        staged(model=short(num_classes=7))
    staged(model=short(num_classes=7), terms=dict(combination=0.0))


def test_a_hybrid_for_a_multi_label_student_is_refused() -> None:
    student = short()
    student['cls_head'].update(
        multi_class=True, loss_cls=dict(type='BCELossWithLogits')
    )
    with pytest.raises(ValueError, match=r"hybrid needs classes that exclude .*'stud"):
        staged(student)
    staged(student, terms=dict(combination=0.0))
