"""Initialization from nothing, and from another run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from toys import FRAMES, tiny_tsm


def first_stage(depth: int, scale: float) -> nn.Module:
    init = [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', layer='BatchNorm2d', val=1.0),
        dict(type='mmvkd.ResidualScaleInit', scale=scale),
    ]
    torch.manual_seed(0)
    model = MODELS.build(tiny_tsm(depth, init_cfg=init))
    model.init_weights()
    return model.backbone.layer1.eval()


def positive(channels: int) -> Tensor:
    return torch.rand(FRAMES, channels, 8, 8, generator=torch.manual_seed(1))


@pytest.mark.parametrize(('depth', 'channels'), [(18, 64), (50, 256)])
def test_the_residual_branches_are_scaled(depth: int, channels: int) -> None:
    x = positive(channels)
    # the branches are linear in the scale; the last step of a block is its ReLU
    full, half, none = (first_stage(depth, scale)[1](x) for scale in (1.0, 0.5, 0.0))
    assert torch.equal(none, x)
    alive = (full > 0) & (half > 0)
    assert alive.any()
    assert torch.allclose(half[alive], ((full + x) / 2)[alive], atol=1e-5)


def test_a_negative_scale_is_refused() -> None:
    with pytest.raises(ValueError, match='scale must be 0 or more, got -1'):
        first_stage(18, -1)


def from_run(folder: Path, num_classes: int) -> nn.Module:
    init = dict(type='Pretrained', checkpoint=f'run://{folder}', prefix='backbone')
    model = MODELS.build(tiny_tsm(init_cfg=init, num_classes=num_classes))
    model.init_weights()
    return model


def test_a_backbone_starts_from_the_best_checkpoint_of_a_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pretext = MODELS.build(tiny_tsm(num_classes=4))
    pretext.init_weights()
    state = {key: torch.rand_like(x.float()) for key, x in pretext.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'best_acc_top1_epoch_3.pth')
    model = from_run(tmp_path, num_classes=4)
    for key, tensor in model.state_dict().items():
        # the head of the pretext task is left behind, even one of as many classes
        kept = torch.allclose(tensor.float(), state[key].to(tensor.dtype).float())
        assert kept == key.startswith('backbone.'), key


@pytest.mark.parametrize(
    ('recipe', 'told'),
    [('', 'train it first'), ('?recipe=train x.py', 'make it with: train x.py')],
)
def test_a_run_that_was_not_trained_is_named(
    tmp_path: Path, recipe: str, told: str
) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"^run '[^?]*no' has no checkpoint; {told}$"
    ):
        from_run(tmp_path / f'no{recipe}', num_classes=4)


def test_what_makes_a_run_is_told_with_the_words_that_it_was_looked_for_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_SIZE', '32')
    monkeypatch.setenv('MMVKD_VIDEOS', '/my clips')
    monkeypatch.setenv('MMVKD_ERROR_FILE', '/tmp/of_the_launcher')
    told = "make it with: MMVKD_SIZE=32 MMVKD_VIDEOS='/my clips' train x.py$"
    with pytest.raises(FileNotFoundError, match=told):
        from_run(tmp_path / 'no?recipe=train x.py', num_classes=4)


def test_outside_of_a_checkout_a_tool_is_named_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tools').mkdir()  # as in one of MMAction2
    told = f'python {Path(__file__).parents[2]}/tools/train.py mmvkd::x.py$'
    with pytest.raises(FileNotFoundError, match=told):
        from_run(tmp_path / 'no?recipe=python tools/train.py mmvkd::x.py', 4)


def test_a_run_that_was_trained_is_found_beside_its_recipe(tmp_path: Path) -> None:
    state = MODELS.build(tiny_tsm()).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'best_acc_top1_epoch_3.pth')
    model = from_run(tmp_path / '?recipe=train x.py', num_classes=4)
    own = model.state_dict()['backbone.conv1.conv.weight']
    assert torch.equal(own, state['backbone.conv1.conv.weight'])
