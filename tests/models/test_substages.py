"""Where recognizers are cut."""

from __future__ import annotations

import pytest
import torch
from recognizer_toys import (
    plain,
    tiny_i3d,
    tiny_mmpretrain,
    tiny_mobilenet,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
)
from torch import nn
from toys import tiny_tsm

from mmvkd.models.recognizers import build_recognizer
from mmvkd.models.substages import belongs, is_complete, substages

CUT = {
    'tsn': tiny_tsn(),
    'tsm': tiny_tsm(),
    'mmpretrain': tiny_mmpretrain(),
    'i3d': tiny_i3d(),
    'slowfast': tiny_slowfast(),
    'mobilenet': tiny_mobilenet(),
}


@pytest.fixture(params=CUT)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build_recognizer('student', CUT[request.param])


def test_each_parameter_of_a_backbone_belongs_to_one_substage(model: nn.Module) -> None:
    cuts = substages(model)
    assert list(cuts) == ['stage1', 'stage2', 'stage3', 'stage4']
    for name, _ in model.backbone.named_parameters(prefix='backbone'):
        owners = [key for key, cut in cuts.items() if belongs(name, cut.modules)]
        assert len(owners) == 1, (name, owners)


def test_what_ends_a_substage_depends_on_it_and_on_those_before(
    model: nn.Module,
) -> None:
    model.train()
    kept: dict[str, torch.Tensor] = {}
    cuts = substages(model)
    for cut in cuts.values():
        for tap in cut.taps:
            model.get_submodule(tap).register_forward_hook(
                lambda m, i, out, tap=tap: kept.update({tap: out})
            )
    two = type(model).__name__ == 'Recognizer2D'
    shape = (1, 4, 3, 64, 64) if two else (1, 1, 3, 8, 64, 64)
    model.extract_feat(torch.rand(shape))
    names = [n for n, _ in model.backbone.named_parameters(prefix='backbone')]
    parameters = [model.get_parameter(name) for name in names]
    seen: tuple[str, ...] = ()
    for key, cut in cuts.items():
        seen += cut.modules
        total = sum(kept[tap].square().sum() for tap in cut.taps)
        found = torch.autograd.grad(total, parameters, None, True, allow_unused=True)
        # all of the substage, so that it can be trained alone, and nothing behind it
        for name, gradient in zip(names, found):
            assert (gradient is not None) == belongs(name, seen), (key, name)


@pytest.mark.parametrize('name', ['tsm', 'mobilenet'])
def test_substages_end_where_the_resolution_is_halved(name: str) -> None:
    model = build_recognizer('student', CUT[name]).eval()
    sides = []
    for cut in substages(model).values():
        model.get_submodule(cut.taps[0]).register_forward_hook(
            lambda m, i, out: sides.append(out.shape[-1])
        )
    model.extract_feat(torch.rand(1, 4, 3, 64, 64))
    assert sides == [16, 8, 4, 2]


def test_what_follows_the_layers_is_of_the_last_substage() -> None:
    config = tiny_i3d()
    config['backbone'] = dict(type='X3D', gamma_w=1, gamma_b=1.0, gamma_d=1.0)
    config['cls_head'].update(type='X3DHead', in_channels=216)
    cuts = substages(build_recognizer('student', config))
    assert cuts['stage4'].modules == ('backbone.layer4', 'backbone.conv5')
    assert cuts['stage4'].taps == ('backbone.layer4',)
    assert 'backbone.conv1_s' in cuts['stage1'].modules


def test_an_unknown_backbone_has_none() -> None:
    assert substages(build_recognizer('student', tiny_swin())) == {}
    third = tiny_tsn()  # its layers are called as those of MobileNetV2
    third['backbone'] = dict(type='mmpretrain.MobileNetV3', arch='small')
    third['cls_head']['in_channels'] = 576
    assert substages(build_recognizer('student', third)) == {}


def test_all_taps_of_a_cut_are_needed_to_go_on_from_it_alone() -> None:
    slowfast = plain(tiny_slowfast())
    both = ('backbone.fast_path.layer2', 'backbone.slow_path.layer2')
    assert is_complete(slowfast, both)
    assert not is_complete(slowfast, both[:1])
    assert not is_complete(plain(tiny_tsm()), ('backbone.layer2.0',))


def test_a_backbone_that_hands_out_several_layers_does_not_go_on_from_one() -> None:
    two = plain(tiny_tsm())
    two.backbone.out_indices = (2, 3)
    assert not is_complete(two, ('backbone.layer4',))


def test_a_name_belongs_to_a_module_and_not_to_one_that_begins_like_it() -> None:
    assert belongs('a.b.c', ['a.b'])
    assert belongs('a.b', ['a.b'])
    assert not belongs('a.bc', ['a.b'])
    assert not belongs('a', ['a.b'])
