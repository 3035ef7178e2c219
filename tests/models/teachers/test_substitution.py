"""A teacher that goes on from given features is the teacher."""

from __future__ import annotations

from typing import Any, Optional

import pytest
import torch
from mmengine.structures import BaseDataElement
from recognizer_toys import (
    teacher,
    tiny_i3d,
    tiny_mmpretrain,
    tiny_mobilenet,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
)
from recognizer_toys import tiny_vit as vit
from torch import Tensor, nn
from toys import batch, tiny_tsm

from mmvkd.models.outputs import Outputs
from mmvkd.models.substages import substages
from mmvkd.models.taps import TapError
from mmvkd.models.teachers import RecognizerTeacher
from mmvkd.models.views import Views, to_clip
from mmvkd.registry import MODELS


def tiny_c2d() -> dict:
    """Config of a C2D, whose code between the layers reshapes what they return."""
    config = tiny_i3d()
    config['backbone'] = dict(type='C2D', depth=18, pretrained=None, norm_eval=False)
    return config


KNOWN = {
    'tsn': tiny_tsn(),
    'tsm': tiny_tsm(),
    'mmpretrain': tiny_mmpretrain(),
    'i3d': tiny_i3d(),
    'slowfast': tiny_slowfast(),
    'mobilenet': tiny_mobilenet(),
}
OTHERS = {
    # a transformer of (N, T, H, W, C), half of a two-path network
    'swin': (tiny_swin(), ('backbone.layers.1',)),
    'slow path': (tiny_slowfast(), ('backbone.slow_path.layer2',)),
    'a block': (tiny_tsm(), ('backbone.layer2.0',)),
    'c2d': (tiny_c2d(), ('backbone.layer2',)),
}


def made(model: Any, taps: Optional[tuple[str, ...]] = None) -> RecognizerTeacher:
    """A teacher that is tapped and keeps its batch."""
    torch.manual_seed(0)
    built = MODELS.build(teacher(model))
    if taps is None:
        taps = tuple(t for cut in substages(built.model).values() for t in cut.taps)
    built.attach('t', dict.fromkeys(taps))
    for module in built.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
    built.load()
    built.offers_hybrid = True
    return built


def clips(frames: int = 8, size: int = 64) -> Tensor:
    return torch.stack(batch(2, frames, size)['inputs'])


def outputs(built: RecognizerTeacher, frames: Optional[int] = None) -> Outputs:
    count = frames or built.view.num_frames or 8
    return built(Views(to_clip(clips(count), 'NCHW')), [BaseDataElement()] * 2)


@pytest.mark.parametrize('name', KNOWN)
def test_behind_each_substage_the_hybrid_of_its_own_feature_is_the_teacher(
    name: str,
) -> None:
    built = made(KNOWN[name])
    whole = outputs(built)
    assert whole.logits.std() > 0
    for cut in substages(built.model).values():
        own = {tap: whole.features[tap] for tap in cut.taps}
        # the second one skips what lies before
        for _ in range(2):
            assert torch.equal(whole.hybrid(own), whole.logits)
        other = {tap: feature.flip(0) for tap, feature in own.items()}
        assert torch.equal(whole.hybrid(other), whole.logits.flip(0))


@pytest.mark.parametrize('name', OTHERS)
def test_behind_any_module_the_hybrid_of_its_own_feature_is_the_teacher(
    name: str,
) -> None:
    model, taps = OTHERS[name]
    built = made(model, taps)
    whole = outputs(built)
    for _ in range(2):
        assert torch.equal(whole.hybrid(dict(whole.features)), whole.logits)
    other = {tap: torch.zeros_like(x) for tap, x in whole.features.items()}
    assert not torch.allclose(whole.hybrid(other), whole.logits)


@pytest.mark.parametrize('name', ['tsm', 'mmpretrain', 'i3d', 'slowfast', 'mobilenet'])
def test_what_lies_before_a_substage_is_not_run_twice(name: str) -> None:
    built = made(KNOWN[name])
    whole = outputs(built)
    cuts = substages(built.model)
    own = {tap: whole.features[tap] for tap in cuts['stage3'].taps}
    whole.hybrid(own)
    ran = set()
    kinds = (nn.Conv2d, nn.Conv3d)
    for key, module in built.model.named_modules():
        if isinstance(module, kinds):
            module.register_forward_pre_hook(lambda m, x, key=key: ran.add(key))
    whole.hybrid(own)
    before = [m for k in ('stage1', 'stage2', 'stage3') for m in cuts[k].modules]
    assert ran
    assert not [key for key in ran if any(key.startswith(f'{m}.') for m in before)]
    # and nothing of it stays
    ran.clear()
    assert torch.equal(outputs(built).logits, whole.logits)
    assert [key for key in ran if key.startswith('backbone.') and 'conv1' in key]


def test_gradients_flow_through_the_teacher_to_the_feature_alone() -> None:
    built = made(tiny_tsm())
    whole = outputs(built)
    given = whole.features['backbone.layer2'].clone().requires_grad_()
    whole.hybrid({'backbone.layer2': given}).square().sum().backward()
    assert given.grad.abs().sum() > 0
    assert all(p.grad is None for p in built.model.parameters())
    before = {k: v.clone() for k, v in built.model.state_dict().items()}
    whole.hybrid({'backbone.layer2': given})
    for key, value in built.model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_the_hybrid_runs_in_the_teachers_precision_inside_any_other() -> None:
    built = made(tiny_tsm())
    whole = outputs(built)
    own = {'backbone.layer3': whole.features['backbone.layer3']}
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(whole.hybrid(own), whole.logits)


def test_gradients_are_in_half_precision_only_where_they_are_scaled() -> None:
    built = made(tiny_tsm())
    whole = outputs(built)
    own = {'backbone.layer3': whole.features['backbone.layer3']}
    built.dtype = torch.float16
    # as without --amp
    assert torch.equal(whole.hybrid(own), whole.logits)
    with torch.autocast('cpu', torch.float16):
        assert not torch.equal(whole.hybrid(own), whole.logits)


def test_half_precision_features_go_through_in_full_where_gradients_need_it() -> None:
    built = made(tiny_tsm())
    built.dtype = torch.float16
    whole = outputs(built)
    own = whole.features['backbone.layer3'].half().requires_grad_()
    whole.hybrid({'backbone.layer3': own}).sum().backward()
    assert own.grad.any()


def test_a_compiled_part_is_given_back_as_it_was() -> None:
    built = made(tiny_tsm())
    calls = []
    part = built.model.backbone.layer1
    plain = part.forward
    part.forward = lambda x: calls.append(x) or plain(x)
    whole = outputs(built)
    own = {'backbone.layer2': whole.features['backbone.layer2']}
    for _ in range(2):
        whole.hybrid(own)
    outputs(built)
    # whole, finding out, skipped, whole
    assert len(calls) == 3


def test_a_teacher_that_nobody_asks_for_it_does_not_hold_its_batch() -> None:
    built = made(tiny_tsm())
    built.offers_hybrid = False
    assert outputs(built).hybrid is None


def test_a_feature_of_another_size_and_a_class_token_are_refused() -> None:
    built = made(tiny_tsm())
    whole = outputs(built)
    feature = whole.features['backbone.layer2']
    with pytest.raises(TapError, match=r"'backbone.layer2' returns \(8, 128, 8, 8\)"):
        whole.hybrid({'backbone.layer2': feature[..., 1:]})
    built = made(vit(size=64), ('backbone.layers.0',))
    whole = outputs(built)
    with pytest.raises(TapError, match='class token cannot be given'):
        whole.hybrid(dict(whole.features))
