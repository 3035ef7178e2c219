"""The parameter head compares kernels by stage, however many and of 2-D or 3-D."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from recognizer_toys import (
    backward,
    distiller,
    file_of,
    losses,
    plain,
    teacher,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    without_gradient,
)
from torch import Tensor, nn
from toys import batch, tiny_tsm

from mmvkd.models import ParameterHead
from mmvkd.models.kernels import by_stage, filters, kernels
from mmvkd.models.losses import (
    frequency_energy,
    jensen_shannon,
    kernel_spectrum,
    quantile_distance,
    quantiles,
)
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.teachers import CachedTeacher

BOTH = dict(energy=1.0, quantile=1.0)
NOW = Outputs(torch.zeros(2, 4))


class Model(nn.Module):
    """Convolutions by dotted name."""

    def __init__(self, **convolutions: nn.Module) -> None:
        super().__init__()
        for name, convolution in convolutions.items():
            self.add_module(name, nn.Sequential(convolution))

    def kernels(self) -> dict[str, Tensor]:
        return kernels(self.named_parameters())


def attached(own: nn.Module, theirs: Model, **kwargs: Any) -> ParameterHead:
    kwargs.setdefault('terms', BOTH)
    head = ParameterHead(**kwargs)
    head.inspect_models(own, {})
    head.prepare(dict(t=theirs))
    return head


def terms(head: ParameterHead) -> dict[str, Tensor]:
    return head(NOW, {}, Targets(None))


def at(iteration: int) -> None:
    MessageHub.get_current_instance().update_info('iter', iteration)


def spectra(own: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    """The terms of filters (F, …)."""
    x, y = (kernel_spectrum(part) for part in (own, theirs))
    return dict(
        energy=jensen_shannon(frequency_energy(x), frequency_energy(y)),
        quantile=quantile_distance(quantiles(x), quantiles(y)),
    )


def equal(
    got: dict[str, Tensor], expected: dict[str, Tensor], scale: float = 1
) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], scale * value)


# Which kernels are compared


def test_stages_and_sizes_are_averaged_and_channels_need_not_match() -> None:
    own = Model(layer1=nn.Conv2d(3, 8, 3), layer2=nn.Conv2d(8, 4, 5))
    own.layer2.append(nn.Conv2d(4, 4, 3))
    theirs = Model(layer1=nn.Conv2d(5, 20, 3), layer2=nn.Conv2d(20, 6, 5))
    theirs.layer2.append(nn.Conv2d(6, 7, 3))
    flat = [
        [m.weight.flatten(0, 1) for m in model.modules() if isinstance(m, nn.Conv2d)]
        for model in (own, theirs)
    ]
    each = [spectra(x, y) for x, y in zip(*flat)]
    mean = {name: torch.stack([e[name] for e in each]).mean() for name in BOTH}
    equal(terms(attached(own, theirs, interval=1)), mean)


@pytest.mark.parametrize('groups', [2, 8])
def test_grouped_and_depthwise_kernels_are_filters_like_others(groups: int) -> None:
    own = Model(layer1=nn.Conv2d(8, 8, 3, groups=groups))
    theirs = Model(layer1=nn.Conv2d(3, 8, 3))
    x, y = (m.layer1[0].weight.reshape(-1, 3, 3) for m in (own, theirs))
    assert len(x) == 64 // groups
    equal(terms(attached(own, theirs, interval=1)), spectra(x, y))


def test_volumes_keep_their_time_and_lose_it_against_a_flat_model() -> None:
    volume, other = (Model(layer1=nn.Conv3d(3, c, 3)) for c in (4, 6))
    flat = Model(layer1=nn.Conv2d(3, 5, 3))
    x, y, z = (m.layer1[0].weight.flatten(0, 1) for m in (volume, other, flat))
    assert x.ndim == 4
    equal(terms(attached(volume, other, interval=1)), spectra(x, y))
    equal(terms(attached(volume, flat, interval=1)), spectra(x.mean(1), z))
    equal(terms(attached(flat, volume, interval=1)), spectra(z, x.mean(1)))


def test_kernels_without_spatial_frequencies_or_partner_are_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        'mmvkd.models.heads.parameter.print_log', lambda text, **_: told.append(text)
    )
    own = Model(layer1=nn.Conv2d(3, 8, 3))
    own.layer1.extend([nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 5), nn.Linear(8, 8)])
    theirs = Model(layer1=nn.Conv3d(5, 20, (1, 3, 3)))
    theirs.layer1.extend([nn.Conv3d(20, 4, 1), nn.Conv3d(4, 4, (3, 1, 1))])
    head = attached(own, theirs, interval=1)
    weights = own.layer1[0].weight, theirs.layer1[0].weight.squeeze(2)
    equal(terms(head), spectra(*(w.flatten(0, 1) for w in weights)))
    (line,) = told
    assert 'layer1 1 of 3 with layer1 1 of 3' in line


def test_stages_of_an_architecture_are_found() -> None:
    def stages(recognizer: dict) -> dict[str, int]:
        model = plain(recognizer)
        found = by_stage('model', kernels(model.named_parameters()))
        return {name: len(members) for name, members in found.items()}

    assert stages(tiny_tsm()) == dict(layer1=4, layer2=5, layer3=5, layer4=5)
    # both pathways together
    assert list(stages(tiny_slowfast())) == ['layer1', 'layer2', 'layer3', 'layer4']
    with pytest.raises(ValueError, match=r"'model' has no convolution in any numbered"):
        stages(tiny_swin())


def test_stages_can_be_named() -> None:
    own = Model(a=nn.Conv2d(3, 8, 3), ab=nn.Conv2d(3, 8, 3))
    theirs = Model(x=nn.Conv2d(3, 5, 3), y=nn.Conv2d(3, 6, 3))
    x, y = own.a[0].weight.flatten(0, 1), theirs.y[0].weight.flatten(0, 1)
    equal(terms(attached(own, theirs, stages=dict(a='y'), interval=1)), spectra(x, y))


def test_other_numbers_of_stages_are_told() -> None:
    own = Model(layer1=nn.Conv2d(3, 8, 3))
    theirs = Model(layer1=nn.Conv2d(3, 8, 3), layer2=nn.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match=r"are layer1, those of.*'t' layer1, layer2;"):
        attached(own, theirs)


def test_a_stage_without_convolution_is_told() -> None:
    own = Model(layer1=nn.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match=r"'student' has no convolution in layer9"):
        attached(own, own, stages=dict(layer9='layer1'))
    with pytest.raises(ValueError, match=r"'t' has no convolution in layer8; name one"):
        attached(own, own, stages=dict(layer1='layer8'))


def test_models_without_common_sizes_are_told() -> None:
    own, theirs = (Model(layer1=nn.Conv2d(3, 8, size)) for size in (3, 5))
    with pytest.raises(ValueError, match='no kernels of one size, 3×3 or larger'):
        attached(own, theirs)


# When, and how many


def test_terms_come_every_so_many_iterations_and_that_much_stronger() -> None:
    own, theirs = (Model(layer1=nn.Conv2d(3, c, 3)) for c in (4, 5))
    every, fourth = (attached(own, theirs, interval=i) for i in (1, 4))
    weight = own.layer1[0].weight
    for iteration in range(9):
        at(iteration)
        whole, now = terms(every), terms(fourth)
        if iteration % 4 == 0:
            computed = whole
            (slope,) = torch.autograd.grad(sum(whole.values()), weight)
            (steeper,) = torch.autograd.grad(sum(now.values()), weight)
            torch.testing.assert_close(steeper, 4 * slope)
        # in between the last values stand for them
        assert {k: v.item() for k, v in now.items()} == pytest.approx(
            {k: v.item() for k, v in computed.items()}
        )
        with torch.no_grad():
            weight.mul_(1.1)


def test_a_resumed_run_goes_on_with_the_last_values() -> None:
    own, theirs = (Model(layer1=nn.Conv2d(3, c, 3)) for c in (4, 5))
    head, resumed = (attached(own, theirs, interval=4) for _ in range(2))
    at(4)
    before = terms(head)
    resumed.load_state_dict(head.state_dict())
    at(5)
    assert all(value == before[term] for term, value in terms(resumed).items())


def test_between_two_intervals_the_terms_still_have_a_graph() -> None:
    own, theirs = (Model(layer1=nn.Conv2d(3, c, 3)) for c in (4, 5))
    head = attached(own, theirs, interval=4)
    now = Outputs(torch.zeros(2, 4, requires_grad=True))
    at(1)
    sum(head(now, {}, Targets(None)).values()).backward()
    assert not now.logits.grad.any()


def test_where_nobody_counts_iterations_each_step_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, theirs = (Model(layer1=nn.Conv2d(3, c, 3)) for c in (4, 5))
    head = attached(own, theirs, interval=4)
    monkeypatch.delitem(
        MessageHub.get_current_instance().runtime_info, 'iter', raising=False
    )
    x, y = (m.layer1[0].weight.flatten(0, 1) for m in (own, theirs))
    equal(terms(head), spectra(x, y), scale=1)


def test_a_sample_is_drawn_anew_and_the_same_in_each_run() -> None:
    own, theirs = (Model(layer1=nn.Conv2d(20, 20, 3)) for _ in range(2))
    head = attached(own, theirs, interval=1, max_filters=50)
    seen = []
    for iteration in (0, 1, 0):
        at(iteration)
        own.zero_grad()
        sum(terms(head).values()).backward()
        touched = own.layer1[0].weight.grad.flatten(0, 1).abs().sum((1, 2)) > 0
        assert 30 < touched.sum() <= 50
        seen.append(touched)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_a_sample_says_about_what_all_filters_say() -> None:
    own = Model(layer1=nn.Conv2d(100, 100, 3))
    theirs = Model(layer1=nn.Conv2d(100, 100, 3))
    with torch.no_grad():
        theirs.layer1[0].weight.copy_(theirs.layer1[0].weight.cumsum(2))
    whole = terms(attached(own, theirs, interval=1))
    part = terms(attached(own, theirs, interval=1, max_filters=2000))
    for name, value in whole.items():
        assert part[name].item() == pytest.approx(value.item(), rel=0.2)


@pytest.mark.parametrize('wrong', [dict(interval=0), dict(max_filters=0)])
def test_numbers_below_one_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match='must be 1 or more, got'):
        ParameterHead(**wrong)


# In a distiller

HEADS = dict(p=dict(type='mmvkd.ParameterHead', interval=1, terms=BOTH))


def test_the_student_is_no_part_of_the_head() -> None:
    model = distiller(heads=HEADS)
    assert not list(model.distill.parameters())
    saved = [*plain(tiny_tsm()).state_dict(), 'distill.heads.p.last']
    assert list(model.state_dict()) == saved
    backward(model, batch())
    assert not without_gradient(model)


def test_a_copy_of_the_distiller_looks_at_its_own_student() -> None:
    model = distiller(heads=HEADS)
    twin = copy.deepcopy(model)
    before = losses(twin, batch())['loss_p_energy']
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.copy_(parameter.cumsum(-1))
    assert losses(twin, batch())['loss_p_energy'] == before
    assert losses(model, batch())['loss_p_energy'] > 2 * before
    backward(twin, batch())
    assert not without_gradient(twin)


def test_kernels_come_from_the_teachers_loaded_weights(tmp_path: Path) -> None:
    trained = plain(tiny_tsn(), seed=5)
    path = file_of(trained, tmp_path / 't.pth')
    # few enough that all of them are looked at
    stage = {'backbone.layer1': 'backbone.layer1'}
    heads = dict(p=dict(HEADS['p'], stages=stage))
    model = distiller(teachers=dict(t=teacher(tiny_tsn(), path)), heads=heads)
    model.student.load_state_dict(
        dict(zip(model.student.state_dict(), trained.state_dict().values()))
    )
    entries = losses(model, batch())
    assert entries['loss_p_energy'] < 1e-9 and entries['loss_p_quantile'] < 1e-9


def test_a_cached_teachers_kernels_come_from_its_checkpoint(tmp_path: Path) -> None:
    trained = plain(tiny_tsn(), seed=5)
    path = file_of(trained, tmp_path / 't.pth')
    cached = CachedTeacher(tiny_tsn(), path, store=str(tmp_path / 'store'))
    own = kernels(trained.named_parameters())
    found = cached.kernels()
    assert list(found) == list(own)
    assert all(torch.equal(found[name], own[name]) for name in own)
    gone = CachedTeacher(
        tiny_tsn(), str(tmp_path / 'gone'), store='none', recipe='make it'
    )
    with pytest.raises(FileNotFoundError, match=r"gone' of the teacher.*make it"):
        gone.kernels()


def test_filters_of_a_kernel_that_is_not_square_are_none() -> None:
    assert filters([torch.zeros(2, 2, 3, 5), torch.zeros(2, 2, 2, 2)], True) == {}
