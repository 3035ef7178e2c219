"""A distiller is its student to everything outside training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Callable

import pytest
import torch
from mmaction.apis import init_recognizer
from mmengine.config import Config
from mmengine.optim.optimizer import amp_optimizer_wrapper
from recognizer_toys import (
    backward,
    build,
    config,
    distiller,
    file_of,
    fitnets,
    kd_and_fitnets,
    losses,
    plain,
    run,
    step,
    teacher,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    volumes,
    without_gradient,
)
from torch import nn
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models.label_bank import LabelBank


def scores(model: nn.Module, data: dict, method: str = 'test_step') -> torch.Tensor:
    with torch.no_grad():
        predicted = getattr(model.eval(), method)(copy.deepcopy(data))
    return torch.stack([sample.pred_score for sample in predicted])


# Copies and moves


def test_a_copy_shares_the_teachers_and_nothing_else() -> None:
    model = distiller(heads=kd_and_fitnets())
    copied = copy.deepcopy(model)
    assert copied.teachers['t'] is model.teachers['t']
    ours = {p.data_ptr() for p in model.parameters()}
    assert not ours & {p.data_ptr() for p in copied.parameters()}
    assert list(copied.state_dict()) == list(model.state_dict())
    torch.manual_seed(0)
    expected = losses(model, batch())
    torch.manual_seed(0)
    for key, value in losses(copied, batch()).items():
        assert torch.equal(value, expected[key]), key


def test_a_copy_moved_away_leaves_the_teachers_with_the_original() -> None:
    model = distiller()
    before = losses(model.eval(), batch())['loss_kd']
    copy.deepcopy(model).to('meta')
    assert torch.equal(losses(model, batch())['loss_kd'], before)


def test_a_changed_precision_leaves_the_teachers_alone() -> None:
    model = distiller()
    for change in (model.half, model.double, model.bfloat16):
        change()
        dtypes = {p.dtype for p in model.teachers['t'].model.parameters()}
        assert dtypes == {torch.float32}
    assert {p.dtype for p in model.student.parameters()} == {torch.bfloat16}


def test_loaded_teachers_follow_the_distiller_to_its_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = distiller()
    seen: list[torch.device] = []
    monkeypatch.setattr(model.teachers['t'], 'to', seen.append)
    model.to('cpu')
    assert seen == [torch.device('cpu')]


def test_a_teacher_goes_where_its_input_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = distiller().teachers['t']
    seen: list[torch.device] = []
    monkeypatch.setattr(wrapper, 'to', seen.append)
    with pytest.raises((RuntimeError, NotImplementedError)):
        wrapper({wrapper.view: torch.zeros(1, 4, 3, 32, 32, device='meta')}, [])
    assert seen == [torch.device('meta')]


# Prediction


@pytest.mark.parametrize('method', ['val_step', 'test_step'])
@pytest.mark.parametrize(
    ('student', 'make'),
    [(tiny_tsm(), batch), (tiny_tsn(), batch), (tiny_slowfast(), volumes)],
    ids=['tsm', 'tsn', 'slowfast'],
)
def test_predictions_are_those_of_the_plain_student(
    student: dict, make: Callable, method: str
) -> None:
    model = build(config(student, dict(t=teacher(tiny_tsn()))))
    alone = plain(student, seed=5)
    alone.load_state_dict(model.state_dict())
    data = make(seed=3)
    assert torch.equal(scores(model, data, method), scores(alone, data, method))


def test_several_test_clips_are_averaged_as_the_plain_student_does() -> None:
    model = distiller()
    alone = plain(tiny_tsm(), seed=5)
    alone.load_state_dict(model.state_dict())
    data = batch(frames=12)
    assert torch.equal(scores(model, data), scores(alone, data))


def test_a_recognizer_is_made_from_a_distillers_config_without_teacher_files(
    tmp_path: Path,
) -> None:
    model = config(teachers=dict(t=teacher(checkpoint=str(tmp_path / 'none.pth'))))
    alone = plain(tiny_tsm(), seed=5)
    path = file_of(alone, tmp_path / 'student.pth')
    text = Config(dict(default_scope='mmaction', model=model, test_pipeline=[]))
    made = init_recognizer(text, path, device='cpu')
    assert torch.equal(scores(made, batch()), scores(alone, batch()))


def test_features_are_those_of_the_student() -> None:
    model = distiller().eval()
    inputs = torch.randn(2, 4, 3, 32, 32)
    expected, _ = model.student.extract_feat(inputs)
    assert torch.equal(model(inputs, mode='tensor'), expected)
    assert torch.equal(model.extract_feat(inputs)[0], expected)


# Training is the student's own, plus heads


@pytest.mark.parametrize(
    ('student', 'make'),
    [
        (tiny_tsm(), batch),
        (tiny_tsn(), batch),
        (tiny_slowfast(), volumes),
        (tiny_swin(), volumes),
    ],
    ids=['tsm', 'tsn', 'slowfast', 'swin'],
)
def test_weights_and_gradients_are_the_plain_students_where_heads_weigh_nothing(
    student: dict, make: Callable
) -> None:
    tap = (
        'cls_head.avg_pool' if student['type'] == 'Recognizer2D' else 'cls_head.fc_cls'
    )
    heads = dict(
        kd=dict(type='mmvkd.KDHead', loss_weight=0.0),
        hint=fitnets(tap, teacher_tap='backbone.layer4', loss_weight=0.0),
    )
    model = build(config(student, dict(t=teacher(tiny_tsn())), heads), seed=11)
    alone = plain(student, seed=11)
    for key, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    # the generators, too, are where they would be
    after = [build(config(student), seed=11), torch.rand(1)]
    assert torch.equal(after[1], [plain(student, seed=11), torch.rand(1)][1])
    data = make(seed=2)
    for each in (model, alone):
        torch.manual_seed(4)
        backward(each.train(), data)
    for (name, p), q in zip(alone.named_parameters(), model.student.parameters()):
        assert torch.equal(p.grad, q.grad), name
    for (name, p), q in zip(alone.named_buffers(), model.student.buffers()):
        assert torch.equal(p, q), name


def test_logged_values_are_the_students_and_one_loss_per_term() -> None:
    model = distiller(heads=kd_and_fitnets())
    assert set(step(model, batch())) == {
        'loss',
        'loss_cls',
        'loss_kd',
        'loss_hint',
        'top1_acc',
        'top5_acc',
        't_top1_acc',
    }


def test_the_objective_is_the_weighted_sum_of_the_terms() -> None:
    def entries(kd: float, hint: float, cls: float) -> dict:
        heads = dict(
            kd=dict(type='mmvkd.KDHead', loss_weight=kd),
            hint=fitnets(loss_weight=hint),
        )
        balancer = dict(type='mmvkd.FixedBalancer', cls_weight=cls)
        model = distiller(heads=heads, balancer=balancer).eval()
        return losses(model, batch())

    ones, weighted = entries(1, 1, 1), entries(2, 3, 0.5)
    for name, weight in (('kd', 2), ('hint', 3), ('cls', 0.5)):
        expected = weight * ones[f'loss_{name}']
        torch.testing.assert_close(weighted[f'loss_{name}'], expected)


def test_what_teaches_the_head_alone_weighs_one() -> None:
    def entries(weight: float) -> dict:
        head = dict(type='mmvkd.LogitsGraphHead', edges='learned', loss_weight=weight)
        return losses(distiller(heads=dict(graph=head)).eval(), batch())

    ones, weighted = entries(1), entries(3)
    torch.testing.assert_close(weighted['loss_graph'], 3 * ones['loss_graph'])
    assert weighted['loss_graph_edges'] == ones['loss_graph_edges'] > 0


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='AmpOptimWrapper', dtype='bfloat16'),
        dict(clip_grad=dict(max_norm=1.0)),
        dict(accumulative_counts=2),
    ],
    ids=['amp', 'clip', 'accumulate'],
)
def test_a_run_trains_with_this_optimizer_wrapper(
    wrapper: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MMEngine has no mixed precision on the host, though torch does
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    heads = dict(kd_and_fitnets(), graph=dict(type='mmvkd.LogitsGraphHead'))
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01), **wrapper)
    runner = run(config(heads=heads), tmp_path, optim_wrapper=wrapper)
    scalars = runner.message_hub.log_scalars
    for name in ('loss', 'loss_kd', 'loss_hint', 'loss_graph'):
        assert torch.isfinite(torch.tensor(scalars[f'train/{name}'].current())), name
    start = plain(tiny_tsm()).state_dict()
    moved = [
        name
        for name, value in runner.model.state_dict().items()
        if name in start and not torch.equal(value, start[name])
    ]
    assert 'backbone.conv1.conv.weight' in moved


def test_every_parameter_gets_a_gradient_in_a_step() -> None:
    heads = dict(
        kd_and_fitnets(),
        dkd=dict(type='mmvkd.DKDHead'),
        graph=dict(type='mmvkd.LogitsGraphHead'),
    )
    model = distiller(heads=heads)
    backward(model.train(), batch())
    assert without_gradient(model) == []


def test_one_teacher_forward_serves_all_heads() -> None:
    heads = dict(
        kd_and_fitnets(),
        other=fitnets('backbone.layer3'),
        dist=dict(type='mmvkd.DISTHead'),
        graph=dict(type='mmvkd.LogitsGraphHead'),
    )
    model = distiller(teachers=dict(a=teacher(), b=teacher()), heads=heads)
    calls = []
    for name, wrapper in model.teachers.items():
        wrapper.model.backbone.register_forward_hook(
            lambda *args, name=name: calls.append(name)
        )
    student = []
    model.student.backbone.register_forward_hook(lambda *args: student.append(1))
    step(model, batch())
    assert calls == ['a', 'b']
    assert len(student) == 1


def test_each_head_sees_its_own_teachers_alone() -> None:
    teachers = dict(a=teacher(tiny_tsn()), b=teacher())
    kd = dict(type='mmvkd.KDHead')
    heads = dict(a=dict(kd, teachers=['a']), b=dict(kd, teachers=['b']), both=kd)
    entries = losses(distiller(teachers=teachers, heads=heads).eval(), batch())
    assert entries['loss_a'] != entries['loss_b']
    mean = (entries['loss_a'] + entries['loss_b']) / 2
    torch.testing.assert_close(entries['loss_both'], mean)


def test_only_teachers_that_something_asks_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teachers = dict(t=teacher(), u=teacher(), v=teacher())
    heads = {
        name: dict(type='mmvkd.KDHead', teachers=list(name)) for name in ('t', 'u')
    }
    model = distiller(teachers=teachers, heads=heads)
    model.heads['u'].enabled = False
    ran = []
    for name, one in model.teachers.items():
        whole = one._outputs
        monkeypatch.setattr(
            one, '_outputs', lambda x, n=name, f=whole: (ran.append(n), f(x))[1]
        )
    entries = step(model, batch())
    assert ran == ['t'] and 'u_top1_acc' not in entries
    # refined labels take the word of all
    samples = batch()['data_samples']
    for place, sample in enumerate(samples):
        sample.set_metainfo(dict(sample_id=place))
    model.learn_from(LabelBank(torch.tensor([0, 1]), CLASSES, ['t', 'v']))
    entries = step(model, dict(batch(), data_samples=samples))
    assert ran == ['t', 't', 'u', 'v']
    assert not [key for key in entries if key in ('t_top1_acc', 'v_top1_acc')]
