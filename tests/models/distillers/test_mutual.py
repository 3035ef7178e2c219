"""With ``mutual`` each teacher is a distiller, too, and the student its teacher."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

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
    tiny_tsn,
    without_gradient,
)
from torch import nn
from toys import batch

from mmvkd.export import export_student
from mmvkd.models import VideoDistiller
from mmvkd.registry import MODELS

UNDER = 'distill.teachers.t.'


def small(stages: int) -> dict:
    """Config of the first stages of a TSN-R18."""
    made = tiny_tsn()
    made['backbone'].update(
        num_stages=stages,
        strides=(1, 2)[:stages],
        dilations=(1, 1)[:stages],
        out_indices=(stages - 1,),
    )
    made['cls_head']['in_channels'] = 32 * 2**stages
    return made


STUDENT, TEACHER = small(1), small(2)
HEADS: dict[str, Any] = dict(
    kd=dict(type='mmvkd.KDHead', teachers=['t']),
    dist=dict(type='mmvkd.DISTHead', loss_weight=2.0),
    hint=dict(
        type='mmvkd.FitNetsHead',
        tap='backbone.layer1',
        teacher_tap=dict(t='backbone.layer2'),
    ),
    spectrum=dict(
        type='mmvkd.SpectrumHead',
        tap=dict(name='backbone.layer1', layout='NTCHW'),
        teacher_tap='backbone.layer2',
        terms=dict(amplitude=1.0, coherence=1.0),
    ),
    parameter=dict(
        type='mmvkd.ParameterHead',
        stages={'backbone.layer1': 'backbone.layer2'},
        terms=dict(energy=1.0, quantile=1.0),
        interval=1,
        # all, for a sample differs from a frozen teacher's whole
        max_filters=1 << 20,
    ),
)
REVERSED: dict[str, Any] = dict(
    kd=dict(type='mmvkd.KDHead'),
    dist=HEADS['dist'],
    hint=dict(
        type='mmvkd.FitNetsHead', tap='backbone.layer2', teacher_tap='backbone.layer1'
    ),
    spectrum=dict(
        HEADS['spectrum'], tap='backbone.layer2', teacher_tap='backbone.layer1'
    ),
    parameter=dict(HEADS['parameter'], stages={'backbone.layer2': 'backbone.layer1'}),
)


def settings(mutual: bool = True, heads: Any = None, **of_teacher: Any) -> dict:
    """Config of a distiller whose teacher learns."""
    return config(
        STUDENT,
        dict(t=teacher(TEACHER, **of_teacher)),
        HEADS if heads is None else heads,
        balancer=dict(type='mmvkd.UncertaintyBalancer'),
        mutual=mutual,
    )


def spread(model: VideoDistiller) -> VideoDistiller:
    """Make the learned scales differ from each other."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if '.scales.' in name:
            parameter.data = torch.rand((), generator=generator) - 0.5
    return model


def own(entries: dict) -> dict:
    return {key: value for key, value in entries.items() if not key.startswith('t_')}


def theirs(entries: dict) -> dict:
    return {key[2:]: x for key, x in entries.items() if key.startswith('t_')}


def equal(got: dict, expected: dict) -> None:
    # of frozen teachers alone; one that learns has an entry of its own
    rated = ('t_top1_acc', 'student_top1_acc')
    expected = {key: x for key, x in expected.items() if key not in rated}
    assert list(got) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, msg=lambda m, k=key: f'{k}: {m}')


# What each of the two learns from


def test_the_student_learns_from_it_as_from_a_frozen_one(tmp_path: Path) -> None:
    path = file_of(plain(TEACHER, seed=3), tmp_path / 'teacher.pth')
    model = spread(build(settings(checkpoint=path))).eval()
    frozen = spread(build(settings(False, checkpoint=path))).eval()
    state = model.state_dict()
    frozen.load_state_dict({k: x for k, x in state.items() if UNDER not in k})
    equal(own(losses(model, batch())), losses(frozen, batch()))


def test_the_teacher_learns_as_the_student_of_a_distiller_the_other_way_round(
    tmp_path: Path,
) -> None:
    model = spread(build(settings(checkpoint='random'))).eval()
    student = plain(STUDENT)
    student.load_state_dict(model.student.state_dict())
    path = file_of(student, tmp_path / 'student.pth')
    other = distiller(
        TEACHER,
        dict(student=teacher(STUDENT, checkpoint=path)),
        REVERSED,
        balancer=dict(type='mmvkd.UncertaintyBalancer'),
    ).eval()
    state = model.state_dict()
    of_teacher = {k[len(UNDER) :]: x for k, x in state.items() if UNDER in k}
    other.load_state_dict(of_teacher, strict=True)
    equal(theirs(losses(model, batch())), losses(other, batch()))


def test_no_gradient_passes_from_one_to_the_other() -> None:
    model = build(settings()).train()
    entries = losses(model, batch())
    for chosen, inside in ((own(entries), False), (theirs(entries), True)):
        loss = sum(value for key, value in chosen.items() if 'loss' in key)
        named = dict(model.named_parameters())
        found = torch.autograd.grad(
            loss, list(named.values()), allow_unused=True, retain_graph=True
        )
        for name, gradient in zip(named, found):
            assert (gradient is not None) is ((UNDER in name) is inside), name


def test_every_parameter_gets_a_gradient_in_a_step() -> None:
    for labels in ([0, 1], [-1, -1]):
        model = build(settings()).train()
        data = batch()
        for sample, label in zip(data['data_samples'], labels):
            sample.set_gt_label(label)
        backward(model, data)
        assert without_gradient(model) == []


def test_the_student_draws_the_random_numbers_that_it_would_alone() -> None:
    heads = dict(kd=dict(type='mmvkd.KDHead', loss_weight=0.0))
    model = build(dict(settings(heads=heads), balancer=None)).train()
    alone = plain(STUDENT).train()
    for key, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    for each in (model, alone):
        # dropout
        torch.manual_seed(4)
        backward(each, batch())
    for p, q in zip(alone.parameters(), model.student.parameters()):
        assert torch.equal(p.grad, q.grad)


def test_each_of_several_teachers_learns_by_the_heads_that_name_it() -> None:
    heads = dict(
        both=dict(type='mmvkd.KDHead'),
        first=dict(type='mmvkd.DISTHead', teachers=['t']),
    )
    teachers = dict(t=teacher(TEACHER), u=teacher(STUDENT))
    model = distiller(STUDENT, teachers, heads, mutual=True)
    entries = losses(model, batch())
    assert {'t_loss_both', 'u_loss_both', 't_loss_first_inter'} <= set(entries)
    assert 'u_loss_first_inter' not in entries


def test_the_kernels_of_a_teacher_that_learns_are_looked_at_anew() -> None:
    model = build(settings(heads=dict(parameter=HEADS['parameter']))).eval()
    before = losses(model, batch())
    kernel = model.partners['t'].student.backbone.layer2[0].conv2.conv.weight
    kernel.data.copy_(kernel.data.mean((2, 3), keepdim=True))
    after = losses(model, batch())
    for key in ('loss_parameter_energy', 't_loss_parameter_energy'):
        assert after[key] > 10 * before[key]


def test_a_teacher_that_learns_changes_mode_with_the_student() -> None:
    model = build(settings(), init=False)
    partner = model.partners['t'].student
    assert model.train() is model and partner.training
    model.eval()
    assert not any(module.training for module in partner.modules())


# Where its weights come from, and where they go


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of MMEngine's CheckpointHook, after an epoch."""
    folder = tmp_path_factory.mktemp('run')
    run(settings(), folder)
    return folder / 'epoch_1.pth'


def test_a_checkpoint_is_the_students_and_the_rest_is_under_distill(
    checkpoint: Path, tmp_path: Path
) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    student = plain(STUDENT)
    outside = {k: x for k, x in state.items() if not k.startswith('distill.')}
    assert list(outside) == list(student.state_dict())
    student.load_state_dict(outside, strict=True)
    for key in plain(TEACHER).state_dict():
        assert f'{UNDER}{key}' in state
    assert f'{UNDER}distill.balancer.scales.kd' in state
    build(settings(), init=False).load_state_dict(state, strict=True)
    exported = export_student(str(checkpoint), str(tmp_path / 'student.pth'))
    assert list(exported['state_dict']) == list(outside)


def test_the_teacher_is_trained(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    start = build(settings(), seed=3).state_dict()
    for part in ('backbone.layer1.0.conv1.conv.weight', 'cls_head.fc_cls.weight'):
        assert not torch.equal(state[f'{UNDER}{part}'], start[f'{UNDER}{part}'])


def test_a_checkpoint_of_the_teacher_is_where_it_starts(tmp_path: Path) -> None:
    trained = plain(TEACHER, seed=3)
    path = file_of(trained, tmp_path / 'teacher.pth')
    model = build(settings(checkpoint=path))
    for key, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[f'{UNDER}{key}'], value), key


def test_a_teacher_without_checkpoint_starts_as_it_would_alone(
    tmp_path: Path,
) -> None:
    trained = plain(TEACHER, seed=3)
    pretrained = copy.deepcopy(TEACHER)
    pretrained['backbone']['init_cfg'] = dict(
        type='Pretrained',
        prefix='backbone.',
        checkpoint=file_of(trained, tmp_path / 'pretrained.pth'),
    )
    weight = 'backbone.layer1.0.conv1.conv.weight'
    for checkpoint, read in ((None, True), ('random', False)):
        teachers = dict(t=teacher(pretrained, checkpoint=checkpoint))
        model = build(dict(settings(), teachers=teachers))
        found = model.state_dict()[f'{UNDER}{weight}']
        assert torch.equal(found, trained.state_dict()[weight]) is read


def test_only_training_needs_the_teachers_file(tmp_path: Path) -> None:
    model = build(settings(checkpoint=str(tmp_path / 'none.pth')), init=False)
    with torch.no_grad():
        model.eval().test_step(batch())
    with pytest.raises(FileNotFoundError, match=r"none\.pth' of the teacher 't'"):
        model.init_weights()


def test_a_copy_has_teachers_of_its_own() -> None:
    model = build(settings())
    copied = copy.deepcopy(model)
    partner = copied.partners['t']
    assert copied.teachers['t'].model is partner.student
    assert partner.teachers['student'].model is copied.student
    assert copied.heads['parameter']._peers['t'].model is partner.student
    shared = {p.data_ptr() for p in model.parameters()}
    assert not shared & {p.data_ptr() for p in copied.parameters()}


# What cannot be turned round ends before the first step, in one line


@pytest.mark.parametrize('classes', [2, 9])
def test_a_teacher_of_other_classes_is_refused(classes: int) -> None:
    other = copy.deepcopy(TEACHER)
    other['cls_head']['num_classes'] = classes
    made = dict(settings(), teachers=dict(t=teacher(other)))
    made['heads'] = dict(hint=HEADS['hint'])
    with pytest.raises(ValueError, match=f"'t' has {classes} classes, and would learn"):
        build(made)


@pytest.mark.parametrize(
    ('head', 'match'),
    [
        (dict(type='mmvkd.LogitsGraphHead'), 'LogitsGraphHead, .* several teachers'),
        (
            dict(type='mmvkd.RepresentationGraphHead', tap='backbone.layer1', dim=8),
            'RepresentationGraphHead, .* several teachers',
        ),
        (
            dict(
                type='mmvkd.SubstageHead',
                substages=dict(
                    a=dict(student='backbone.conv1'),
                    b=dict(student='backbone.layer1'),
                ),
            ),
            'SubstageHead, .* frozen teacher',
        ),
        (
            dict(
                type='mmvkd.ParameterHead',
                stages={
                    'backbone.layer1.0': 'backbone.layer1',
                    'backbone.layer1.1': 'backbone.layer1',
                },
            ),
            'two answer to one',
        ),
    ],
)
def test_a_head_for_one_direction_is_refused(head: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match) as info:
        build(settings(heads=dict(h=head)), init=False)
    assert '\n' not in str(info.value)


@pytest.mark.parametrize(
    ('teachers', 'match'),
    [
        (
            dict(t=dict(teacher(TEACHER), type='mmvkd.CachedTeacher', store='here')),
            "'t' is a mmvkd.CachedTeacher, which cannot learn",
        ),
        (
            dict(t=teacher(TEACHER, precision='fp16')),
            "'precision' is for frozen ones; it takes model, checkpoint",
        ),
        (dict(lossy=teacher(TEACHER)), "'lossy': MMEngine sums .* another name"),
        (
            dict(t=teacher(tiny_tsn(num_classes=9))),
            "teacher 't' has 9 classes, the student 4",
        ),
    ],
)
def test_a_teacher_that_cannot_learn_is_told(teachers: dict, match: str) -> None:
    heads = dict(kd=dict(type='mmvkd.KDHead'))
    model = config(STUDENT, teachers, heads, mutual=True)
    with pytest.raises(ValueError, match=match) as info:
        MODELS.build(model)
    assert '\n' not in str(info.value)


def test_a_frozen_teacher_leaves_nothing_in_the_tree() -> None:
    model = build(settings(False), init=False)
    assert not model.partners
    assert not any(UNDER in name for name, _ in model.named_modules())
    assert isinstance(model.distill['teachers'], nn.ModuleDict)


def test_a_3d_teacher_that_learns_sees_the_frames_of_its_config(tmp_path: Path) -> None:
    sample = dict(type='SampleFrames', clip_len=8, frame_interval=2)
    loader = dict(dataset=dict(type='VideoDataset', pipeline=[sample]))
    named = tmp_path / 'slowfast.py'
    Config(dict(model=tiny_slowfast(), val_dataloader=loader)).dump(named)
    for view in ({}, dict(num_frames=4)):
        made = build(
            config(
                teachers=dict(t=teacher(str(named), view=view)),
                heads=dict(kd=dict(type='mmvkd.KDHead')),
                mutual=True,
            ),
            init=False,
        )
        frames = view.get('num_frames', 8)
        assert made.teachers['t'].view.num_frames == frames
        assert made.partners['t'].view == made.teachers['t'].view
