"""The student's optimizer groups are those of the plain student."""

from __future__ import annotations

import copy
from typing import Any, Optional

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from recognizer_toys import (
    config,
    distiller,
    plain,
    run,
    teacher,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    tiny_vit,
)
from torch import nn
from toys import tiny_tsm

from mmvkd.models import FixedBalancer
from mmvkd.registry import MODELS

SGD = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
ADAMW = dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02)
NO_DECAY = dict(decay_mult=0.0)

# as in MMAction2's configs of these models
RECIPES = {
    'tsm': (
        tiny_tsm(),
        dict(
            optimizer=SGD,
            constructor='TSMOptimWrapperConstructor',
            paramwise_cfg=dict(fc_lr5=True),
        ),
    ),
    'tsn': (tiny_tsn(), dict(optimizer=SGD)),
    'tsn without decay of norms': (
        tiny_tsn(),
        dict(
            optimizer=SGD,
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_lr_mult=2.0),
        ),
    ),
    'slowfast': (tiny_slowfast(), dict(optimizer=SGD)),
    'swin': (
        tiny_swin(),
        dict(
            optimizer=ADAMW,
            constructor='SwinOptimWrapperConstructor',
            paramwise_cfg=dict(
                absolute_pos_embed=NO_DECAY,
                relative_position_bias_table=NO_DECAY,
                norm=NO_DECAY,
                backbone=dict(lr_mult=0.1),
            ),
        ),
    ),
    'vit': (
        tiny_vit(),
        dict(
            optimizer=ADAMW,
            constructor='LearningRateDecayOptimizerConstructor',
            paramwise_cfg=dict(decay_rate=0.5, decay_type='layer_wise', num_layers=1),
        ),
    ),
}


@MODELS.register_module(force=True)
class ScaledBalancer(FixedBalancer):
    """One with a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))


def groups(model: nn.Module, wrapper: OptimWrapper, under: str = '') -> list[tuple]:
    """Names and settings of each group, in order."""
    names = {id(p): name for name, p in model.named_parameters()}
    kept = []
    for group in wrapper.optimizer.param_groups:
        settings = {
            k: v for k, v in group.items() if k not in ('params', 'param_names')
        }
        params = [names[id(p)] for p in group['params']]
        kept.append(([n[len(under) :] for n in params], settings))
    return kept


def ours(recipe: dict) -> dict:
    recipe = copy.deepcopy(recipe)
    constructor = recipe.pop('constructor', None)
    recipe['constructor'] = 'mmvkd.DistillOptimWrapperConstructor'
    if constructor:
        recipe['student_constructor'] = constructor
    return recipe


def wrap(model: nn.Module, recipe: dict) -> OptimWrapper:
    recipe = copy.deepcopy(recipe)
    recipe.setdefault('type', 'OptimWrapper')
    return build_optim_wrapper(model, recipe)


def made(student: dict, balancer: Optional[str] = None) -> Any:
    tap = 'cls_head.fc_cls'
    heads = dict(
        hint=dict(type='mmvkd.FitNetsHead', tap=tap, teacher_tap='backbone.layer4'),
        kd=dict(type='mmvkd.KDHead'),
    )
    kwargs = dict(balancer=dict(type=balancer)) if balancer else {}
    return distiller(student, dict(t=teacher(tiny_tsn())), heads, **kwargs)


@pytest.mark.parametrize('name', RECIPES)
def test_the_students_groups_are_the_plain_students(name: str) -> None:
    student, recipe = RECIPES[name]
    alone = plain(student)
    expected = groups(alone, wrap(alone, recipe))
    model = made(student)
    got = groups(model, wrap(model, ours(recipe)), 'student.')
    assert got[:-1] == expected
    # the rest, once, at the base rate and decay
    rest, settings = groups(model, wrap(model, ours(recipe)))[-1]
    prefix = 'distill.heads.hint.connectors.t.conv.'
    assert rest == [f'{prefix}weight', f'{prefix}bias']
    assert settings['lr'] == recipe['optimizer']['lr']
    assert settings['weight_decay'] == recipe['optimizer']['weight_decay']
    # a recipe that treats all alike would not show a wrong constructor
    if name not in ('tsn', 'slowfast'):
        kinds = {(g['lr'], g['weight_decay']) for _, g in expected}
        assert len(kinds) > 1


@pytest.mark.parametrize('name', RECIPES)
def test_each_parameter_is_optimized_exactly_once(name: str) -> None:
    student, recipe = RECIPES[name]
    model = made(student, 'mmvkd.ScaledBalancer')
    wrapper = wrap(model, ours(recipe))
    params = [
        id(p) for group in wrapper.optimizer.param_groups for p in group['params']
    ]
    assert len(params) == len(set(params))
    assert set(params) == {id(p) for p in model.parameters()}


@pytest.mark.parametrize('name', ['tsm', 'tsn without decay of norms'])
def test_a_teacher_that_learns_has_the_groups_that_it_would_have_alone(
    name: str,
) -> None:
    recognizer, recipe = RECIPES[name]
    alone = plain(recognizer)
    heads = dict(hint=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'))
    model = distiller(
        tiny_tsn(),
        dict(t=teacher(recognizer)),
        heads,
        balancer=dict(type='mmvkd.UncertaintyBalancer'),
        mutual=True,
    )
    under = 'distill.teachers.t.'
    wrapper = wrap(model, ours(recipe))
    found = groups(model, wrapper, f'{under}student.')
    expected = groups(alone, wrap(alone, recipe))
    # behind the student's, its connector and its scales
    assert found[-2 - len(expected) : -2] == expected
    (connector, of_connector), (scales, of_scales) = groups(model, wrapper, under)[-2:]
    assert connector[0] == 'distill.heads.hint.connectors.student.conv.weight'
    assert of_connector['weight_decay'] == recipe['optimizer']['weight_decay']
    assert scales == [f'distill.balancer.scales.{name}' for name in ('cls', 'hint')]
    assert (of_scales['weight_decay'], of_scales['lr']) == (0.0, SGD['lr'])
    params = [id(p) for g in wrapper.optimizer.param_groups for p in g['params']]
    assert len(params) == len(set(params))
    assert set(params) == {id(p) for p in model.parameters()}


def test_a_teacher_that_a_constructor_does_not_suit_is_named() -> None:
    student, recipe = RECIPES['vit']
    heads = dict(kd=dict(type='mmvkd.KDHead'))
    model = distiller(student, dict(t=teacher(tiny_tsn())), heads, mutual=True)
    with pytest.raises(ValueError, match=r"^LearningRateDecay.* of teacher 't', which"):
        wrap(model, ours(recipe))


def test_scales_of_a_balancer_do_not_decay() -> None:
    student, recipe = RECIPES['tsm']
    model = made(student, 'mmvkd.ScaledBalancer')
    (names, settings) = groups(model, wrap(model, ours(recipe)))[-1]
    assert names == ['distill.balancer.scale']
    assert settings['weight_decay'] == 0
    assert settings['lr'] == SGD['lr']


def test_a_model_without_trained_parts_gets_no_group_more() -> None:
    student, recipe = RECIPES['tsm']
    model, alone = distiller(student), plain(student)
    got = groups(model, wrap(model, ours(recipe)), 'student.')
    assert got == groups(alone, wrap(alone, recipe))


def test_a_plain_recognizer_is_optimized_as_without_us() -> None:
    student, recipe = RECIPES['swin']
    alone = plain(student)
    assert groups(alone, wrap(alone, ours(recipe))) == groups(
        alone, wrap(alone, recipe)
    )


def test_a_wrapped_model_is_looked_into() -> None:
    from mmengine.model.averaged_model import ExponentialMovingAverage

    student, recipe = RECIPES['tsm']
    model = made(student)
    outer = ExponentialMovingAverage(model)
    outer.module.requires_grad_(True)
    inner = ours(recipe)
    wrapped = groups(outer.module, _through(outer, inner))
    assert wrapped == groups(model, wrap(model, inner))


def _through(outer: nn.Module, recipe: dict) -> OptimWrapper:
    """As for a model that DDP wraps."""
    from mmengine.registry import MODEL_WRAPPERS

    name = type(outer).__name__
    known = MODEL_WRAPPERS.get(name)
    if known is None:
        MODEL_WRAPPERS.register_module(name=name, module=type(outer))
    try:
        return wrap(outer, recipe)
    finally:
        if known is None:
            MODEL_WRAPPERS._module_dict.pop(name)


def test_the_options_of_the_wrapper_arrive() -> None:
    student, recipe = RECIPES['tsm']
    recipe = dict(ours(recipe), clip_grad=dict(max_norm=20), accumulative_counts=4)
    wrapper = wrap(made(student), recipe)
    assert wrapper.clip_grad_kwargs['max_norm'] == 20
    assert wrapper._accumulative_counts == 4


def test_a_frozen_part_of_the_student_is_treated_as_in_the_plain_student() -> None:
    student = tiny_tsn()
    student['backbone']['frozen_stages'] = 1
    _, recipe = RECIPES['tsn without decay of norms']
    alone, model = plain(student), made(student)
    got = groups(model, wrap(model, ours(recipe)), 'student.')
    assert got[:-1] == groups(alone, wrap(alone, recipe))


def test_a_schedule_moves_all_groups_alike(tmp_path: Any) -> None:
    _, recipe = RECIPES['tsm']
    heads = dict(hint=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'))
    runner = run(
        config(heads=heads),
        tmp_path,
        epochs=2,
        optim_wrapper=ours(recipe),
        param_scheduler=[dict(type='MultiStepLR', milestones=[1], gamma=0.1)],
    )
    groups = runner.optim_wrapper.optimizer.param_groups
    rates = {round(group['lr'], 9) for group in groups}
    # biases at twice the base rate, fc at five and ten times
    assert rates == {0.002, 0.004, 0.01, 0.02}
    assert groups[-1]['lr'] == pytest.approx(0.002)
