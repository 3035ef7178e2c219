"""The substage head: its terms and the weights of the substages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recognizer_toys import (
    backward,
    distiller,
    losses,
    step,
    teacher,
    without_gradient,
)
from substage_toys import ALL, STAGES, one_term, short, staged
from toys import batch

from mmvkd.models import SubstageHead
from mmvkd.models.losses import (
    channel_moments,
    gaussian_distance,
    kd_loss,
    mmd,
    pearson_distance,
)
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.resizing import match_size
from mmvkd.seeding import seed_shared


def test_without_terms_that_need_the_teachers_channels_nothing_is_learned() -> None:
    for correlation in ('cka', 'gram'):
        settings = one_term('correlation', correlation=correlation, weighting='fixed')
        model = staged(**settings)
        assert list(model.heads['s'].parameters()) == []
        assert torch.isfinite(step(model, batch(clips=3))['loss_s_correlation'])


def test_the_combination_is_cross_entropy_and_divergence_of_the_hybrid() -> None:
    model = staged(
        **one_term(
            'combination', hybrids='all', weighting='fixed', combined=['stage2']
        ),
        temperature=2.0,
        ce_weight=0.3,
        kd_weight=0.7,
        grid=1,  # which a hybrid does not see
    ).eval()
    head, data = model.heads['s'], batch(clips=3)
    seen: dict[str, Any] = {}
    forward = SubstageHead.forward

    def spy(student: Outputs, teachers: Any, targets: Targets) -> Any:
        seen.update(student=student, teacher=teachers['t'], labels=targets.labels)
        return forward(head, student, teachers, targets)

    head.forward = spy
    got = losses(model, data)['loss_s_combination']
    tap = 'backbone.layer2'
    mapped = head.connectors['t']['stage2'][0](seen['student'].features[tap])
    logits = seen['teacher'].hybrid({tap: mapped})
    expected = 0.3 * F.cross_entropy(logits, seen['labels'])
    expected = expected + 0.7 * kd_loss(logits, seen['teacher'].logits, 2.0).mean()
    torch.testing.assert_close(got, expected)


def test_a_clip_without_a_label_has_no_cross_entropy() -> None:
    model = staged(**one_term('combination', hybrids='all'), kd_weight=0.0).eval()
    data = batch()
    for sample in data['data_samples']:
        sample.set_gt_label(-1)
    assert losses(model, data)['loss_s_combination'] == 0


def test_blended_labels_have_no_cross_entropy() -> None:
    model = staged(**one_term('combination'))
    head = model.heads['s']
    forward = head.forward
    head.forward = lambda s, t, targets: forward(s, t, Targets(None))
    with pytest.raises(ValueError, match='one label per clip; turn blending off'):
        losses(model, batch())
    head.ce_weight = 0.0
    assert losses(model, batch())['loss_s_combination'] > 0


def test_a_weight_of_a_term_scales_it() -> None:
    plain, scaled = staged(), staged(terms=dict(distribution=0.25))
    seed_shared(1)
    one = losses(plain.eval(), batch(clips=3))
    seed_shared(1)
    other = losses(scaled.eval(), batch(clips=3))
    torch.testing.assert_close(
        other['loss_s_distribution'], 0.25 * one['loss_s_distribution']
    )
    torch.testing.assert_close(other['loss_s_correlation'], one['loss_s_correlation'])


# Weights of the substages


def test_weights_are_the_smoothed_distances_over_their_mean() -> None:
    model = staged(momentum=0.75).train()
    head = model.heads['s']
    assert (head.distances == -1).all()
    seen = []
    measure = SubstageHead._measure

    def spy(mapped: Any) -> Any:
        found = measure(head, mapped)
        for stage, pairs in mapped.items():
            moments = [channel_moments(x) for x in pairs[0]]
            torch.testing.assert_close(found[stage], gaussian_distance(*moments))
        seen.append(torch.stack(list(found.values())).detach())
        return found

    head._measure = spy
    for i in range(3):
        entries = losses(model, batch(clips=3, seed=i))
    smooth = 0.75 * (0.75 * seen[0] + 0.25 * seen[1]) + 0.25 * seen[2]
    torch.testing.assert_close(head.distances[0], smooth)
    weights = torch.stack([entries[f's_weight_{stage}'] for stage in STAGES])
    torch.testing.assert_close(weights, smooth / smooth.mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(entries['s_distance_stage3'], smooth[2])
    torch.testing.assert_close(
        entries['loss_s_distribution'], (weights * seen[2]).mean(), rtol=1e-4, atol=0
    )


def test_the_distance_may_be_the_discrepancy_of_the_clips_averages() -> None:
    model = staged(**one_term('distribution', distance='mmd')).train()
    head, seen = model.heads['s'], []
    measure = head._measure
    head._measure = lambda mapped: seen.append(mapped) or measure(mapped)
    entries = losses(model, batch(clips=3))
    for stage, pairs in seen[0].items():
        own, other = (x.mean((2, 3, 4)) for x in pairs[0])
        torch.testing.assert_close(entries[f's_distance_{stage}'], mmd(other, own))
    assert entries['loss_s_distribution'].requires_grad


@pytest.mark.parametrize('value', [float('inf'), float('nan')])
def test_a_distance_that_overflows_is_not_remembered(value: float) -> None:
    model = staged().train()
    head = model.heads['s']
    losses(model, batch())
    before = head.distances.clone()
    found = head._weigh(0, {'stage1': torch.tensor(value)})
    assert torch.equal(head.distances, before)
    assert all(weight.isfinite() for weight in found.values())


def test_distances_are_saved_with_the_training_only_parts() -> None:
    model = staged().train()
    losses(model, batch())
    state = model.state_dict()
    assert (state['distill.heads.s.distances'] >= 0).all()
    other = staged()
    other.load_state_dict(state)
    assert torch.equal(other.heads['s'].distances, model.heads['s'].distances)


def test_fixed_weights_are_all_one() -> None:
    entries = losses(staged(weighting='fixed').train(), batch())
    assert [entries[f's_weight_{stage}'].item() for stage in STAGES] == [1.0] * 3


def test_a_weight_has_no_gradient() -> None:
    model = staged(**one_term('correlation')).train()
    entries = losses(model, batch())
    assert not entries['s_weight_stage1'].requires_grad
    assert 'loss_s_distribution' not in entries
    # measured all the same
    assert (model.heads['s'].distances > 0).all()


def test_maps_of_other_sizes_meet_at_the_smaller_one() -> None:
    # the teacher sees larger frames
    view = dict(size=(64, 64))
    model = distiller(
        student=short(),
        teachers=dict(t=teacher(short(), view=view)),
        heads=dict(s=dict(type='mmvkd.SubstageHead', terms=ALL, hybrids='all')),
    )
    entries = backward(model, batch())
    assert without_gradient(model) == []
    assert torch.isfinite(entries['loss_s_combination'])
    small, large = torch.rand(1, 2, 4, 8, 8), torch.rand(1, 2, 4, 16, 16)
    assert match_size(small, large)[1].shape == small.shape


@pytest.mark.parametrize('term', ['correlation', 'distribution'])
def test_large_maps_are_pooled_to_the_grid_before_they_are_compared(term: str) -> None:
    model = staged(**one_term(term, weighting='fixed', grid=2)).eval()
    head = model.heads['s']
    seen: dict[str, Any] = {}
    forward = SubstageHead.forward

    def spy(student: Outputs, teachers: Any, targets: Targets) -> Any:
        seen.update(student=student, teacher=teachers['t'])
        return forward(head, student, teachers, targets)

    head.forward = spy
    got = losses(model, batch())[f'loss_s_{term}']
    values = []
    for j, stage in enumerate(STAGES, 1):
        pair = [seen[x].features[f'backbone.layer{j}'] for x in ('student', 'teacher')]
        frames = pair[0].shape[2]
        mine, theirs = (F.adaptive_avg_pool3d(x, (frames, 2, 2)) for x in pair)
        mine = head.connectors['t'][stage][0](mine)
        if term == 'correlation':
            values.append(pearson_distance(mine, theirs).mean())
        else:
            moments = channel_moments(mine), channel_moments(theirs)
            values.append(gaussian_distance(*moments))
    torch.testing.assert_close(got, torch.stack(values).mean())
