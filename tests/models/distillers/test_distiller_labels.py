"""Clips without a label, blended labels, and several labels of a clip."""

from __future__ import annotations

import pytest
import torch
from mmaction.structures import ActionDataSample
from recognizer_toys import (
    backward,
    distiller,
    fitnets,
    kd_and_fitnets,
    losses,
    step,
    teacher,
    without_gradient,
)
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models.outputs import Targets


def with_labels(data: dict, labels: list[int]) -> dict:
    for sample, label in zip(data['data_samples'], labels):
        sample.set_gt_label(label)
    return data


def test_clips_without_a_label_are_left_out_of_the_label_loss() -> None:
    model = distiller().eval()
    data = with_labels(batch(clips=4), [1, -1, 2, -1])
    labeled = {key: [value[0], value[2]] for key, value in data.items()}
    mixed, alone = losses(model, data), losses(model, labeled)
    torch.testing.assert_close(mixed['loss_cls'], alone['loss_cls'])
    # a teacher's word counts for all clips
    assert not torch.allclose(mixed['loss_kd'], alone['loss_kd'], rtol=1e-3)
    assert torch.equal(mixed['top1_acc'], alone['top1_acc'])


def test_decoupled_kd_leaves_clips_without_a_label_out() -> None:
    model = distiller(heads=dict(dkd=dict(type='mmvkd.DKDHead'))).eval()
    data = with_labels(batch(clips=4), [1, -1, 2, -1])
    labeled = {key: [value[0], value[2]] for key, value in data.items()}
    expected = losses(model, labeled)['loss_dkd']
    torch.testing.assert_close(losses(model, data)['loss_dkd'], expected)


def test_a_batch_without_any_label_costs_zero_and_reaches_all_parameters() -> None:
    heads = dict(
        dkd=dict(type='mmvkd.DKDHead'),
        graph=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    )
    low = dict(hint=fitnets('backbone.layer1'))
    for chosen in ({'dkd': heads['dkd']}, heads, low):
        model = distiller(heads=chosen).train()
        entries = backward(model, with_labels(batch(), [-1, -1]))
        assert entries['loss_cls'] == 0
        assert entries.get('loss_dkd', 0) == 0
        assert without_gradient(model) == []
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_blended_labels_train_with_kd() -> None:
    blending = dict(type='MixupBlending', num_classes=CLASSES, alpha=0.8)
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = blending
    graph = dict(type='mmvkd.LogitsGraphHead', edges='confidence')
    model = distiller(student, heads=dict(kd_and_fitnets(), graph=graph))
    values = step(model, batch())
    assert torch.isfinite(values['loss'])
    # no accuracy is defined for blended labels
    assert 'top1_acc' not in values


def test_decoupled_kd_refuses_blended_labels() -> None:
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=CLASSES
    )
    model = distiller(student, heads=dict(dkd=dict(type='mmvkd.DKDHead')))
    with pytest.raises(ValueError, match='one label per clip; turn blending off'):
        step(model, batch())


def test_blending_refuses_a_clip_without_a_label() -> None:
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=CLASSES
    )
    with pytest.raises(ValueError, match=r'blending .*label'):
        step(distiller(student), with_labels(batch(), [0, -1]))


def test_a_neck_with_a_loss_of_its_own_refuses_a_clip_without_a_label() -> None:
    model = distiller()
    neck = torch.nn.Identity()
    neck.aux_head = torch.nn.Identity()
    model.student.neck = neck
    with pytest.raises(ValueError, match=r'Identity has an aux_head, .*none \(-1\)'):
        step(model, with_labels(batch(), [0, -1]))


def multi_label(said: bool = True) -> dict:
    config = tiny_tsm()
    config['cls_head'].update(multi_class=said, loss_cls=dict(type='BCELossWithLogits'))
    return config


@pytest.mark.parametrize('kind', ['KD', 'ZScoreKD', 'DIST', 'DKD', 'LogitsGraph'])
def test_multi_label_models_are_refused_by_logit_heads(kind: str) -> None:
    heads = dict(h=dict(type=f'mmvkd.{kind}Head'))
    with pytest.raises(ValueError, match="'student' is multi-label"):
        distiller(multi_label(), heads=heads)
    with pytest.raises(ValueError, match="'t' is multi-label"):
        distiller(teachers=dict(t=teacher(multi_label())), heads=heads)


def test_a_binary_loss_makes_a_model_multi_label() -> None:
    with pytest.raises(ValueError, match=r"'student' is multi-label .*binary loss"):
        distiller(multi_label(said=False))


def test_multi_label_models_learn_by_features() -> None:
    model = distiller(multi_label(), heads=dict(hint=fitnets()))
    data = batch()
    for sample in data['data_samples']:
        sample.set_field(torch.tensor([1.0, 0.0, 1.0, 0.0]), 'gt_label')
    values = step(model, data)
    assert torch.isfinite(values['loss_cls']) and values['loss_hint'] > 0


def test_a_teachers_accuracy_is_that_of_its_labeled_clips() -> None:
    logits = torch.eye(4)[[2, 1, 0, 3]]
    for labels, share in (
        ([2, 1, 0, 3], 1.0),
        ([2, 0, 3, 3], 0.5),
        # a clip without a label counts neither way
        ([-1, 1, 3, -1], 0.5),
        ([-1, 1, -1, -1], 1.0),
    ):
        samples = [ActionDataSample().set_gt_label(label) for label in labels]
        targets = Targets.of(samples)
        assert targets.accuracy(logits) == share
        assert targets.count == sum(label >= 0 for label in labels)
    none = Targets.of([ActionDataSample().set_gt_label(-1)])
    soft = Targets.of([ActionDataSample().set_gt_label(torch.tensor([0.5, 0.5]))])
    assert (none.count, soft.count) == (0, 0)


def test_a_batch_without_a_label_has_no_accuracy_of_a_teacher() -> None:
    model = distiller()
    data = batch()
    assert 't_top1_acc' in step(model, data)
    for sample in data['data_samples']:
        sample.set_gt_label(-1)
    assert 't_top1_acc' not in step(model, data)


def test_where_a_head_gives_several_rows_a_clip_its_label_is_that_of_all() -> None:
    # a head of 2 frames behind a backbone of 4 sees two halves of each clip
    model = tiny_tsm(frames=4)
    model['cls_head'].update(num_segments=2, dropout_ratio=0.0)
    made = distiller(model).eval()
    data = with_labels(batch(clips=4), [1, -1, 2, -1])
    labeled = {key: [value[0], value[2]] for key, value in data.items()}
    assert losses(made, data)['loss_cls'] > 0
    torch.testing.assert_close(
        losses(made, data)['loss_cls'], losses(made, labeled)['loss_cls']
    )
