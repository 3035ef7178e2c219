"""Each model sees the loader's clip through its own view."""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
import torch
import torch.nn.functional as F
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmcv.transforms import Compose
from recognizer_toys import (
    build,
    config,
    distiller,
    losses,
    step,
    teacher,
    tiny_slowfast,
    tiny_tsn,
    volumes,
)
from torch import Tensor
from toys import CLASSES, batch, tiny_tsm

from mmvkd.datasets.transforms import OversampleFrames
from mmvkd.models import ClipView
from mmvkd.models.recognizers import build_recognizer
from mmvkd.models.views import Views, to_clip


def blended(kind: str, **kwargs: Any) -> dict:
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = dict(
        type=f'{kind}Blending', num_classes=CLASSES, **kwargs
    )
    return student


def inputs_seen(model: Any, data: dict) -> tuple[Tensor, dict[str, Tensor]]:
    """What the student and each teacher get in a training step."""
    seen: dict[str, Tensor] = {}
    student = model.run_student

    def watch(name: str, call: Callable) -> Callable:
        def wrapped(inputs: Tensor, *args: Any) -> Any:
            seen[name] = inputs
            return call(inputs, *args)

        return wrapped

    model.run_student = watch('', student)
    for name, wrapper in model.teachers.items():
        features = wrapper.model.extract_feat

        def extract(inputs: Tensor, name=name, features=features, **kwargs: Any):
            seen[name] = inputs
            return features(inputs, **kwargs)

        wrapper.model.extract_feat = extract
    losses(model, data)
    return seen.pop(''), seen


def alone(preprocessor: dict, data: dict) -> Tensor:
    """What MMAction2's preprocessor gives in training."""
    config = {key: value for key, value in preprocessor.items() if key != 'type'}
    return ActionDataPreprocessor(**config)(copy.deepcopy(data), True)['inputs']


def test_a_teacher_with_the_students_view_gets_the_very_same_tensor() -> None:
    model = distiller(teachers=dict(a=teacher(), b=teacher(tiny_tsm(50))))
    student, teachers = inputs_seen(model, batch())
    assert teachers['a'] is student
    assert teachers['b'] is student


def test_teachers_with_equal_views_share_one_tensor() -> None:
    view = dict(num_frames=2, size=16)
    tsn = tiny_tsn()
    model = distiller(
        teachers=dict(a=teacher(tsn, view=view), b=teacher(tsn, view=view))
    )
    student, teachers = inputs_seen(model, batch())
    assert teachers['a'] is teachers['b']
    assert teachers['a'] is not student


@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(to_rgb=True),
        dict(mean=[0.0, 0.0, 0.0], std=[255.0, 254.0, 253.0]),
        dict(mean=[104.0, 117.0, 128.0], std=[1.0, 1.0, 1.0], to_rgb=True),
    ],
)
@pytest.mark.parametrize(
    ('student', 'make'), [(tiny_tsm(), batch), (tiny_slowfast(), volumes)]
)
def test_the_student_gets_what_the_plain_preprocessor_gives(
    student: dict, make: Callable, settings: dict
) -> None:
    student = copy.deepcopy(student)
    student['data_preprocessor'].update(settings)
    model = distiller(student, dict(t=teacher(tiny_tsn())))
    seen, _ = inputs_seen(model, make())
    expected = alone(student['data_preprocessor'], make())
    assert seen.dtype == expected.dtype == torch.float32
    assert torch.equal(seen, expected)


def test_a_student_without_normalization_gets_what_the_plain_one_gets() -> None:
    student = tiny_tsm()
    student['data_preprocessor'] = dict(type='ActionDataPreprocessor')
    seen, _ = inputs_seen(distiller(student), batch())
    assert torch.equal(seen, torch.stack(batch()['inputs']).float())


def test_cutmix_gives_the_student_what_the_plain_preprocessor_gives() -> None:
    student = blended('Cutmix', alpha=0.8)
    model = distiller(student)
    torch.manual_seed(3)
    seen, _ = inputs_seen(model, batch(clips=4))
    torch.manual_seed(3)
    expected = alone(student['data_preprocessor'], batch(clips=4))
    assert torch.equal(seen, expected)
    assert not torch.equal(seen, alone(tiny_tsm()['data_preprocessor'], batch(clips=4)))


def test_mixup_gives_the_student_what_the_plain_preprocessor_gives() -> None:
    student = blended('Mixup', alpha=0.8)
    model = distiller(student)
    torch.manual_seed(3)
    seen, _ = inputs_seen(model, batch(clips=4))
    torch.manual_seed(3)
    # we blend before the normalization, which is linear
    expected = alone(student['data_preprocessor'], batch(clips=4))
    torch.testing.assert_close(seen, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize('kind', ['Mixup', 'Cutmix'])
def test_teachers_see_the_blended_clip(kind: str) -> None:
    small = teacher(tiny_tsn(), view=dict(num_frames=2))
    model = distiller(blended(kind, alpha=0.8), dict(a=teacher(), b=small))
    torch.manual_seed(3)
    student, teachers = inputs_seen(model, batch(clips=4))
    assert teachers['a'] is student
    assert torch.equal(teachers['b'], student[:, ::2])
    assert not torch.equal(student, alone(tiny_tsm()['data_preprocessor'], batch(4)))


def test_blended_labels_go_with_the_blended_clips() -> None:
    model = distiller(blended('Mixup', alpha=0.8))
    data = model.data_preprocessor(batch(clips=2), True)
    assert data['targets'].labels is None
    assert all(len(sample.gt_label) == CLASSES for sample in data['data_samples'])


def test_testing_does_not_blend() -> None:
    student = blended('Mixup', alpha=0.8)
    got = distiller(student).data_preprocessor(batch(), False)['inputs']
    assert torch.equal(got, alone(tiny_tsm()['data_preprocessor'], batch()))


# What a view does to a clip, computed another way


def clip(frames: int = 8, size: int = 32) -> Tensor:
    """(N, V, C, T, H, W)."""
    return to_clip(torch.stack(batch(frames=frames, size=size)['inputs']), 'NCHW')


def test_a_view_reorders_the_axes_of_2d_and_3d_inputs() -> None:
    flat = torch.arange(2 * 4 * 3 * 5 * 6).view(2, 4, 3, 5, 6)
    as_clip = to_clip(flat, 'NCHW')
    assert as_clip.shape == (2, 1, 3, 4, 5, 6)
    assert torch.equal(as_clip[:, 0, :, 2], flat[:, 2])
    assert torch.equal(ClipView('NCHW')(as_clip), flat.float())
    assert torch.equal(ClipView('NCTHW')(as_clip), as_clip.float())
    assert to_clip(as_clip, 'NCTHW') is as_clip


@pytest.mark.parametrize('layout', ['NCHW', 'NCTHW'])
def test_a_view_normalizes_each_channel_by_its_own_numbers(layout: str) -> None:
    mean, std = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)
    got = ClipView(layout, mean=mean, std=std, to_rgb=True)(clip())
    axis = 2
    for channel in range(3):
        expected = (clip()[:, 0, 2 - channel].double() - mean[channel]) / std[channel]
        one = got.select(axis, channel)
        one = one if layout == 'NCHW' else one[:, 0]
        torch.testing.assert_close(one.double(), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ('loaded', 'wanted', 'kept'),
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (8, 4, [0, 2, 4, 6]),
        (8, 2, [0, 4]),
        (8, 1, [0]),
        (8, 3, [0, 2, 5]),
        (9, 4, [0, 2, 4, 6]),
    ],
)
def test_a_view_takes_frames_at_even_steps_the_first_one_first(
    loaded: int, wanted: int, kept: list[int]
) -> None:
    got = ClipView(num_frames=wanted)(clip(loaded))
    assert torch.equal(got, clip(loaded)[:, 0].transpose(1, 2)[:, kept].float())


def test_a_view_resizes_each_frame_on_its_own() -> None:
    got = ClipView('NCTHW', size=(16, 24))(clip())
    assert got.shape == (2, 1, 3, 8, 16, 24)
    for n, t in ((0, 0), (1, 5)):
        frame = clip()[n, :, :, t].float()
        expected = F.interpolate(frame, (16, 24), mode='bilinear', antialias=True)
        torch.testing.assert_close(got[n, 0, :, t], expected[0], atol=1e-3, rtol=1e-5)


def test_a_view_of_equal_size_and_frames_changes_no_pixel() -> None:
    view = ClipView(size=(32, 32), num_frames=8)
    assert torch.equal(view(clip()), clip()[:, 0].transpose(1, 2).float())


def test_a_view_that_differs_in_all_settings_is_their_composition() -> None:
    model = tiny_slowfast()
    model['data_preprocessor'].update(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    view = dict(num_frames=8, size=16)
    made = distiller(teachers=dict(t=teacher(model, view=view)))
    assert made.view.num_frames == 4
    _, seen = inputs_seen(made, batch(frames=16))
    frames = torch.stack(batch(frames=16)['inputs'])[:, ::2].float()
    small = F.interpolate(
        frames.flatten(0, 1), (16, 16), mode='bilinear', antialias=True
    )
    small = small.unflatten(0, (2, 8)).transpose(1, 2)
    mean = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1)
    std = torch.tensor([4.0, 5.0, 6.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(seen['t'], ((small - mean) / std)[:, None])


@pytest.mark.parametrize(
    ('frames', 'clip_len', 'factor'), [(4, 1, 2), (4, 1, 3), (1, 4, 2)]
)
def test_oversampled_clips_leave_the_student_its_own_frames(
    frames: int, clip_len: int, factor: int
) -> None:
    sampled = dict(
        frame_inds=torch.arange(3, 40, 9)[:4].numpy(),
        total_frames=50,
        start_index=0,
        clip_len=clip_len,
        num_clips=frames,
    )
    more = Compose([OversampleFrames(factor)])(copy.deepcopy(sampled))['frame_inds']
    loaded = torch.as_tensor(more).view(1, 1, 1, -1, 1, 1)
    seen = ClipView(num_frames=4)(loaded).flatten()
    assert seen.tolist() == sampled['frame_inds'].tolist()
    assert ClipView(num_frames=4 * factor)(loaded).flatten().tolist() == more.tolist()


def test_a_student_of_more_loaded_frames_takes_its_share_in_training() -> None:
    model = distiller(teachers=dict(t=teacher(tiny_tsm(frames=8))))
    student, teachers = inputs_seen(model, batch(frames=8))
    assert student.shape[1] == 4 and teachers['t'].shape[1] == 8
    assert torch.equal(student, teachers['t'][:, ::2])


def test_a_student_of_any_length_takes_what_its_pipeline_samples() -> None:
    teachers = dict(t=teacher(tiny_tsm(frames=8)))
    data = batch(frames=8)
    all_frames, _ = inputs_seen(build(config(tiny_tsn(), teachers)), data)
    assert all_frames.shape[1] == 8
    view = dict(num_frames=4)
    told = build(config(tiny_tsn(), teachers, student_view=view))
    half, _ = inputs_seen(told, data)
    assert torch.equal(half, all_frames[:, ::2])
    for sample in data['data_samples']:
        sample.set_metainfo(dict(oversampled=2))
    own, seen = inputs_seen(build(config(tiny_tsn(), teachers)), data)
    assert torch.equal(own, half) and seen['t'].shape[1] == 8


# What a view costs


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(num_frames=8, size=(32, 32)),
        dict(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    ],
)
@pytest.mark.parametrize('layout', ['NCHW', 'NCTHW'])
def test_a_view_that_changes_nothing_gives_the_clips_own_memory(
    layout: str, settings: dict
) -> None:
    loaded = torch.stack(batch(frames=8)['inputs']).float()
    if layout == 'NCTHW':
        loaded = loaded.transpose(1, 2)[:, None].contiguous()
    got = ClipView(layout, **settings)(to_clip(loaded, layout))
    assert got.data_ptr() == loaded.data_ptr()
    assert torch.equal(got, loaded)


def test_a_view_that_changes_something_leaves_the_clip_alone() -> None:
    loaded = clip().float()
    before = loaded.clone()
    got = ClipView('NCTHW', mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))(loaded)
    assert got.data_ptr() != loaded.data_ptr()
    assert torch.equal(loaded, before)


def made_views(monkeypatch: pytest.MonkeyPatch) -> list[ClipView]:
    """Notices each view that is computed."""
    made: list[ClipView] = []
    call = ClipView.__call__

    def record(self: ClipView, clip: Tensor) -> Tensor:
        made.append(self)
        return call(self, clip)

    monkeypatch.setattr(ClipView, '__call__', record)
    return made


def test_views_are_made_once_and_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = made_views(monkeypatch)
    views = Views(clip())
    assert made == []
    first, second = views[ClipView(size=(16, 16))], views[ClipView(size=(16, 16))]
    assert first is second
    assert made == [ClipView(size=(16, 16))]


def test_views_that_come_to_the_same_share_one_tensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norm = dict(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    made = made_views(monkeypatch)
    views = Views(clip(frames=8))
    wordy = views[ClipView(num_frames=8, size=(32, 32), **norm)]
    assert views[ClipView(**norm)] is wordy
    assert views[ClipView(num_frames=8, **norm)] is wordy
    assert len(made) == 1
    for other in (ClipView(num_frames=4, **norm), ClipView('NCTHW', **norm)):
        assert views[other] is not wordy


def test_a_tsn_teacher_shares_the_clip_of_a_tsm_student() -> None:
    model = distiller(teachers=dict(t=teacher(tiny_tsn())))
    assert model.view != model.teachers['t'].view
    student, teachers = inputs_seen(model, batch())
    assert teachers['t'] is student


# Wrong views


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(size='112'), r"size .* \(height, width\), got '112'"),
        (dict(size=(112,)), r'size of a view .* got \(112,\)'),
        (dict(num_frames='4'), "num_frames of a view is 1 or more, .* got '4'"),
        (dict(num_frames=0), 'num_frames of a view is 1 or more, .* got 0'),
        (dict(num_frames=2), r'takes 2 frames .* built for 4 \(num_segments\)'),
    ],
)
def test_what_is_no_size_and_no_number_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(config(teachers=dict(t=teacher(view=wrong))))


def test_an_unknown_setting_is_told_with_those_that_exist() -> None:
    match = "a view has no 'frames'; it has format_shape, num_frames, size"
    with pytest.raises(ValueError, match=match):
        build(config(teachers=dict(t=teacher(view=dict(frames=3)))))
    with pytest.raises(ValueError, match=match):
        build(config(student_view=dict(frames=3)))


def test_a_view_of_more_frames_than_loaded_says_how_to_load_them() -> None:
    model = distiller(teachers=dict(t=teacher(tiny_tsm(frames=10))))
    with pytest.raises(ValueError, match=r'takes 10 frames.* has 4.*oversample=3'):
        step(model, batch())


def test_a_view_reads_its_settings_off_the_recognizer() -> None:
    model = tiny_tsm(frames=6)
    model['data_preprocessor']['to_rgb'] = True
    view = ClipView.of(build_recognizer('student', model), dict(size=20))
    assert view.num_frames == 6
    assert view.size == (20, 20)
    assert view.to_rgb and view.format_shape == 'NCHW'
    assert view.mean == tuple(torch.tensor([123.675, 116.28, 103.53]).tolist())
    three = ClipView.of(build_recognizer('student', tiny_slowfast()))
    assert three.format_shape == 'NCTHW' and three.num_frames is None
    assert hash(three) == hash(copy.deepcopy(three))


@pytest.mark.parametrize(
    ('takes', 'gives', 'axes'), [('NCHW', 'NCTHW', 6), ('NCTHW', 'NCHW', 5)]
)
def test_a_pipeline_of_the_other_kind_is_told(
    takes: str, gives: str, axes: int
) -> None:
    told = f'the model takes {takes} and the pipeline gives {gives}: take the pipelines'
    with pytest.raises(ValueError, match=told):
        to_clip(torch.zeros((1,) * axes), takes)


def test_where_backbone_and_head_differ_the_clip_has_the_frames_of_both() -> None:
    # as in MMAction2's TSM of a MobileOne, whose backbone keeps its default of 8
    model = tiny_tsm(frames=8)
    model['cls_head']['num_segments'] = 16
    student = build(config(student=model, teachers={}, heads={}), init=False)
    assert student.view.num_frames == 16
    entries = losses(student, batch(frames=16))
    assert torch.isfinite(entries['loss_cls'])
