"""The substage head: what it taps, weighs, draws and leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recognizer_toys import (
    backward,
    config,
    distiller,
    losses,
    step,
    teacher,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    volumes,
    without_gradient,
)
from torch import nn
from toys import batch, tiny_tsm

from mmvkd.models import CachedTeacher, SubstageHead
from mmvkd.models.losses import (
    channel_moments,
    gaussian_distance,
    kd_loss,
    mmd,
    pearson_distance,
)
from mmvkd.models.outputs import Outputs, Targets
from mmvkd.models.resizing import match_size
from mmvkd.registry import MODELS
from mmvkd.seeding import seed_shared

ALL = dict(correlation=1.0, combination=1.0, distribution=1.0)
STAGES = ('stage1', 'stage2', 'stage3')


def short(stages: int = 3, num_classes: int = 4) -> dict[str, Any]:
    """Config of the first stages of a TSN-R18: few parameters."""
    model = tiny_tsn(num_classes=num_classes)
    model['backbone'].update(
        num_stages=stages,
        strides=(1, 2, 2)[:stages],
        dilations=(1, 1, 1)[:stages],
        out_indices=(stages - 1,),
    )
    model['cls_head']['in_channels'] = 2 ** (5 + stages)
    return model


def staged(student: Any = None, model: Any = None, **head: Any) -> nn.Module:
    """A distiller with a substage head of all terms."""
    head['terms'] = {**ALL, **head.get('terms', {})}
    return distiller(
        student=short() if student is None else student,
        teachers=dict(t=teacher(short() if model is None else model)),
        heads=dict(s=dict(type='mmvkd.SubstageHead', **head)),
    )


def one_term(term: str, **head: Any) -> dict[str, Any]:
    """Settings of a head with a single term."""
    off = dict.fromkeys(('correlation', 'combination', 'distribution'), 0.0)
    return dict(head, terms={**off, term: 1.0})


# What is tapped


def test_both_are_cut_where_their_architecture_says() -> None:
    head = staged().heads['s']
    expected = dict.fromkeys(f'backbone.layer{i}' for i in range(1, 4))
    assert head.names == STAGES
    assert head.student_taps() == head.teacher_taps('t') == expected


def test_paths_side_by_side_are_one_substage() -> None:
    model = staged(tiny_slowfast(), tiny_slowfast())
    connectors = model.heads['s'].connectors['t']['stage2']
    sizes = [(c.conv.in_channels, c.conv.out_channels) for c in connectors]
    assert sizes == [(128, 128), (16, 16)]
    entries = step(model, volumes())
    assert torch.isfinite(entries['loss'])


def test_a_path_without_a_partner_is_taught_by_the_only_one_there_is() -> None:
    model = staged(tiny_tsm(frames=8), tiny_slowfast())
    connectors = model.heads['s'].connectors['t']['stage2']
    sizes = [(c.conv.in_channels, c.conv.out_channels) for c in connectors]
    assert sizes == [(128, 128), (128, 16)]
    backward(model, batch(frames=8))
    assert without_gradient(model) == []


def test_a_backbone_that_is_not_known_is_cut_where_the_config_says() -> None:
    cut = dict(
        front=dict(student='backbone.layer1', teacher=dict(t='backbone.layers.0')),
        back=dict(
            student=['backbone.layer3'],
            teacher=dict(name='backbone.layers.2', layout='NTHWC'),
        ),
    )
    model = staged(tiny_tsm(frames=8), tiny_swin(), substages=cut)
    head = model.heads['s']
    assert head.names == ('front', 'back')
    assert head.teacher_taps('t')['backbone.layers.2'] == 'NTHWC'
    backward(model, batch(frames=8, size=64))
    assert without_gradient(model) == []


@pytest.mark.parametrize(
    ('student', 'model', 'match'),
    [
        (None, tiny_swin(), r"where to cut teacher 't' \(SwinTransformer3D\)"),
        (tiny_swin(), tiny_tsm(), 'where to cut the student'),
    ],
)
def test_a_backbone_that_is_not_known_must_be_told(
    student: Any, model: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match + '.* is not known; name the taps'):
        staged(student, model)


def test_unequal_numbers_of_substages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stage1, stage2, teacher 't' has .*stage3"):
        staged(short(stages=2))


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(correlation='dot'), "correlation 'dot' is unknown; known: pearson, cka"),
        (dict(hybrids='two'), "hybrids 'two' is unknown; known: one, all"),
        (dict(weighting='no'), "weighting 'no' is unknown; known: distribution"),
        (dict(distance='emd'), "distance 'emd' is unknown; known: gaussian, mmd"),
        (
            one_term('correlation', correlation='cka'),
            "connector, which correlation='cka' alone does not train",
        ),
        (dict(terms=dict(shape=1.0)), "terms has 'shape' .* be given to correlation"),
    ],
)
def test_a_wrong_name_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SubstageHead(**wrong)


def test_the_correlation_alone_is_the_default() -> None:
    assert SubstageHead().terms == dict(correlation=1.0)
    assert SubstageHead(terms=dict(combination=0.1)).terms == dict(
        correlation=1.0, combination=0.1
    )


def test_a_wrong_substage_is_told() -> None:
    with pytest.raises(ValueError, match="combined: 'stage9' is not one of stage1, st"):
        staged(combined=['stage9'])


def test_a_substage_without_a_tap_of_a_teacher_is_told() -> None:
    tap = 'backbone.layer1'
    cut = dict(a=dict(student=tap, teacher=dict(other=tap)))
    told = "substages has none for teacher 't'; it has other"
    with pytest.raises(ValueError, match=told):
        staged(short(), short(), substages=cut)


def test_a_teacher_that_ran_before_has_no_hybrid(tmp_path: Path) -> None:
    cached = dict(
        type='mmvkd.CachedTeacher',
        model=tiny_tsm(),
        checkpoint=str(tmp_path / 'no.pth'),
        store=str(tmp_path / 'store'),
    )
    assert isinstance(MODELS.build(dict(cached)), CachedTeacher)
    head = dict(type=SubstageHead, terms=ALL)
    model = config(teachers=dict(t=cached), heads=dict(s=head))
    with pytest.raises(ValueError, match="'t' is a CachedTeacher, which cannot"):
        MODELS.build(model)
    # what it kept still teaches
    tap = 'backbone.layer2'
    cut = dict(terms=dict(combination=0.0), substages=dict(a=dict(student=tap)))
    model['heads']['s'].update(cut)
    assert MODELS.build(model).heads['s'].names == ('a',)


def test_a_hybrid_of_other_classes_is_refused() -> None:
    with pytest.raises(
        ValueError, match="hybrid: teacher 't' has 7 classes, the student 4"
    ):
        staged(model=short(num_classes=7))
    staged(model=short(num_classes=7), terms=dict(combination=0.0))


def test_a_hybrid_for_a_multi_label_student_is_refused() -> None:
    student = short()
    student['cls_head'].update(
        multi_class=True, loss_cls=dict(type='BCELossWithLogits')
    )
    with pytest.raises(ValueError, match=r"hybrid needs classes that exclude .*'stud"):
        staged(student)
    staged(student, terms=dict(combination=0.0))


# Terms


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


# One hybrid a step


def draws(model: nn.Module, *keys: int) -> list[tuple[str, ...]]:
    """Which hybrids ran in steps of these keys."""
    ran: list[str] = []
    head = model.heads['s']
    combine = SubstageHead._combine

    def spy(name: str, stage: str, *args: Any) -> Any:
        ran.append(stage)
        return combine(head, name, stage, *args)

    head._combine = spy
    found = []
    for key in keys:
        seed_shared(key)
        # the generators of a process have no part in it
        torch.manual_seed(len(found))
        losses(model, batch())
        found.append(tuple(ran))
        ran.clear()
    return found


def test_the_hybrid_of_a_step_follows_from_its_seed_alone() -> None:
    model = staged()
    keys = [1, 2, 3, 4, 5, 6, 7, 8]
    first = draws(model, *keys)
    assert {len(ran) for ran in first} == {1}
    assert {ran[0] for ran in first} == set(STAGES[:2])
    assert draws(model, *reversed(keys)) == first[::-1]


def test_all_hybrids_run_if_asked_for() -> None:
    assert draws(staged(hybrids='all'), 1) == [STAGES[:2]]
    chosen = staged(hybrids='all', combined=['stage3', 'stage2'])
    assert draws(chosen, 1) == [('stage2', 'stage3')]


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(one_term('combination')),
        dict(one_term('combination', weighting='fixed', combined=['stage1'])),
        dict(correlation='cka', terms=dict(distribution=0.0)),
        dict(one_term('distribution', hybrids='all')),
    ],
)
def test_every_connector_gets_a_gradient_in_every_step(settings: dict) -> None:
    model = staged(**settings).train()
    for _ in range(2):
        model.zero_grad()
        backward(model, batch(clips=3))
        assert without_gradient(model) == []


# Focus


def test_in_focus_only_some_substages_and_terms_are_worked_on() -> None:
    model = staged().train()
    head = model.heads['s']
    head.focus(stages=['stage3', 'stage2'], terms=['combination', 'distribution'])
    entries = backward(model, batch())
    assert 'loss_s_correlation' not in entries
    assert [k for k in entries if 'weight' in k] == [
        's_weight_stage2',
        's_weight_stage3',
    ]
    known = head.distances[0] >= 0
    assert known.tolist() == [False, True, True]
    for stage, modules in head.connectors['t'].items():
        inside = stage in ('stage2', 'stage3')
        for parameter in modules.parameters():
            assert parameter.requires_grad is inside
            assert (parameter.grad is not None) is inside
    assert set(draws(model, 1, 2, 3)) == {('stage2',)}
    head.focus()
    backward(model, batch())
    assert without_gradient(model) == []


def test_a_substage_without_a_hybrid_has_the_other_terms() -> None:
    model = staged().train()
    model.heads['s'].focus(stages=['stage3'])
    entries = backward(model, batch())
    terms = [key for key in entries if key.startswith('loss_s')]
    assert terms == ['loss_s_correlation', 'loss_s_distribution']


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(stages=['stage5']), "stages: 'stage5' is not one of stage1, stage2"),
        (dict(terms=['shape']), "terms: 'shape' is not one of correlation, comb"),
        (dict(stages=[]), 'has nothing to do'),
        (dict(stages=['stage3'], terms=['combination']), 'has nothing to do'),
    ],
)
def test_a_wrong_focus_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        staged().heads['s'].focus(**wrong)


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
