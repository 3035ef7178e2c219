"""A distiller is its student to everything outside training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Callable

import pytest
import torch
from mmaction.apis import init_recognizer
from mmengine.config import Config
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import load_checkpoint
from recognizer_toys import (
    backward,
    build,
    config,
    distiller,
    file_of,
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

from mmvkd.models.taps import TapError


def fitnets(tap: str = 'backbone.layer4', **kwargs: Any) -> dict:
    return dict(type='mmvkd.FitNetsHead', tap=tap, **kwargs)


def kd_and_fitnets() -> dict:
    return dict(kd=dict(type='mmvkd.KDHead'), hint=fitnets())


def with_labels(data: dict, labels: list[int]) -> dict:
    for sample, label in zip(data['data_samples'], labels):
        sample.set_gt_label(label)
    return data


def student_keys(keys: Any) -> list[str]:
    return [key for key in keys if not key.startswith('distill.')]


def scores(model: nn.Module, data: dict, method: str = 'test_step') -> torch.Tensor:
    with torch.no_grad():
        predicted = getattr(model.eval(), method)(copy.deepcopy(data))
    return torch.stack([sample.pred_score for sample in predicted])


# What is in a checkpoint


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of MMEngine's CheckpointHook, after an epoch with FitNets."""
    folder = tmp_path_factory.mktemp('run')
    run(config(heads=kd_and_fitnets()), folder)
    return folder / 'epoch_1.pth'


def test_a_checkpoint_file_has_the_plain_students_keys_in_order(
    checkpoint: Path,
) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert student_keys(state) == list(plain(tiny_tsm()).state_dict())
    rest = [key for key in state if key.startswith('distill.')]
    assert rest == [
        'distill.heads.hint.connectors.t.conv.weight',
        'distill.heads.hint.connectors.t.conv.bias',
    ]


def test_a_checkpoint_file_loads_strictly_into_the_plain_student(
    checkpoint: Path,
) -> None:
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    state = {key: state[key] for key in student_keys(state)}
    student = plain(tiny_tsm())
    student.load_state_dict(state, strict=True)
    for key, value in student.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_checkpoint_file_loads_strictly_into_the_distiller(checkpoint: Path) -> None:
    model = distiller(heads=kd_and_fitnets())
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    load_checkpoint(model, str(checkpoint), strict=True)
    model.load_state_dict(state, strict=True)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_plain_student_checkpoint_loads_into_the_distiller(tmp_path: Path) -> None:
    student = plain(tiny_tsm(), seed=1)
    model = distiller(heads=kd_and_fitnets())
    load_checkpoint(model, file_of(student, tmp_path / 'plain.pth'), strict=False)
    for key, value in student.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    result = model.load_state_dict(student.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert result.missing_keys and not student_keys(result.missing_keys)


def test_strict_loading_notices_a_foreign_and_a_missing_key() -> None:
    model = distiller(heads=kd_and_fitnets())
    state = model.state_dict()
    with pytest.raises(RuntimeError, match=r'backbone\.foreign'):
        model.load_state_dict({**state, 'backbone.foreign': torch.zeros(1)})
    state.pop('cls_head.fc_cls.weight')
    with pytest.raises(RuntimeError, match=r'cls_head\.fc_cls\.weight'):
        model.load_state_dict(state)


def test_the_state_dict_keeps_its_keys_inside_another_module() -> None:
    model = distiller(heads=kd_and_fitnets())
    outer = nn.ModuleDict(dict(module=model))
    assert list(outer.state_dict()) == [f'module.{key}' for key in model.state_dict()]
    outer.load_state_dict(outer.state_dict(), strict=True)


def test_the_state_dict_shares_memory_with_the_parameters() -> None:
    model = distiller()
    with torch.no_grad():
        model.state_dict()['cls_head.fc_cls.weight'].fill_(7)
    assert (model.student.cls_head.fc_cls.weight == 7).all()


def test_an_averaged_student_is_saved_as_a_student(tmp_path: Path) -> None:
    heads = dict(
        hint=fitnets(),
        graph=dict(type='mmvkd.LogitsGraphHead'),
        binary=dict(type='mmvkd.LogitsGraphHead', cost='binary'),
    )
    runner = run(
        config(heads=heads),
        tmp_path,
        epochs=2,
        custom_hooks=[dict(type='EMAHook', momentum=0.5)],
    )
    (hook,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    saved = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    trained, averaged = runner.model.state_dict(), hook.ema_model.module.state_dict()
    key = 'backbone.layer4.1.conv2.conv.weight'
    assert not torch.equal(trained[key], averaged[key])
    # the hook swaps: what is tested later is the average
    assert list(saved['state_dict']) == list(trained) == list(averaged)
    for name in trained:
        assert torch.equal(saved['state_dict'][name], averaged[name]), name
        swapped = saved['ema_state_dict'][f'module.{name}']
        assert torch.equal(swapped, trained[name]), name


GRAPHS = dict(
    logits=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
    pairs=dict(type='mmvkd.RepresentationGraphHead', tap='backbone.layer4', dim=32),
)
KERNELS = dict(type='mmvkd.ParameterHead', interval=1)
STAGES = dict(parameter=KERNELS, substage=dict(type='mmvkd.SubstageHead'))
SPECTRA = dict(
    parameter=KERNELS, spectrum=dict(type='mmvkd.SpectrumHead', tap='backbone.layer4')
)


@pytest.mark.parametrize(
    ('heads', 'mutual'),
    [(GRAPHS, False), (STAGES, False), (SPECTRA, False), (SPECTRA, True)],
    ids=['graph', 'staged', 'collaborative', 'mutual'],
)
def test_an_average_pairs_what_belongs_together(
    heads: dict, mutual: bool, tmp_path: Path
) -> None:
    average = dict(type='EMAHook', momentum=0.5)
    model = config(heads=heads, mutual=mutual)
    runner = run(model, tmp_path, custom_hooks=[average])
    (hook,) = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    averaged = dict(hook.ema_model.module.named_buffers())
    trained = dict(runner.model.named_buffers())
    assert list(averaged) == list(trained)
    for name, value in trained.items():
        assert torch.equal(averaged[name], value), name


def test_an_averaged_run_resumes(tmp_path: Path) -> None:
    model = config(heads=kd_and_fitnets())
    hooks = dict(custom_hooks=[dict(type='EMAHook', momentum=0.5)])
    run(model, tmp_path / 'a', epochs=1, **hooks)
    path = str(tmp_path / 'a' / 'epoch_1.pth')
    runner = run(model, tmp_path / 'b', 2, load_from=path, resume=True, **hooks)
    assert runner.epoch == 2


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


# Labels


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


# Wrong configs end before the first step, in one line


def refused(error: type[Exception], match: str, **kwargs: Any) -> None:
    with pytest.raises(error, match=match) as info:
        build(config(**kwargs), init=False)
    assert '\n' not in str(info.value)


def test_an_unknown_tap_is_told_with_what_is_near() -> None:
    near = r"'backbone.layr4' is not in Recognizer2D; near: .*backbone\.layer4"
    refused(TapError, near, heads=dict(h=fitnets('backbone.layr4')))
    heads = dict(h=fitnets('backbone.layer4', teacher_tap='backbone.layr4'))
    refused(TapError, near, heads=heads)


def test_a_heads_name_may_not_contain_loss() -> None:
    refused(ValueError, "head 'my_loss'", heads=dict(my_loss=dict(type='mmvkd.KDHead')))


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
    refused(ValueError, f"'{key}' would be a term of .* another name$", heads=heads)


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


def test_one_teacher_of_a_head_may_be_a_word() -> None:
    model = distiller(heads=dict(kd=dict(type='mmvkd.KDHead', teachers='t')))
    assert model.heads['kd'].teachers == ('t',)


def test_a_tap_missing_for_a_teacher_is_told() -> None:
    heads = dict(h=fitnets(teacher_tap=dict(u='backbone.layer4')))
    told = "teacher_tap of FitNetsHead has none for teacher 't'; it has u"
    refused(ValueError, told, heads=heads)


def test_a_loss_that_would_not_run_is_refused() -> None:
    student = plain(tiny_tsm())
    penalized = type('Penalized', (type(student.cls_head),), dict(loss=lambda: None))
    student.cls_head.__class__ = penalized
    refused(TypeError, r'Penalized has a loss\(\) of its own', student=student)


def test_several_modalities_are_refused() -> None:
    data = batch()
    data['inputs'] = dict(imgs=data['inputs'])
    with pytest.raises(TypeError, match='a batch of dict is not one clip per sample'):
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
    assert torch.isfinite(step(model, batch())['loss_hint'])


def test_a_batch_of_several_modalities_is_refused() -> None:
    data = batch()
    data['inputs'] = [dict(imgs=x) for x in data['inputs']]
    with pytest.raises(TypeError, match='not one clip per sample'):
        step(distiller(), data)
