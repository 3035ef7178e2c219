"""`pretrained` in the config of a teacher is never executed."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.model import PretrainedInit
from recognizer_toys import (
    build,
    config,
    teacher,
    tiny_mmpretrain,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
)
from teacher_toys import NOWHERE
from toys import CLASSES, tiny_tsm

from mmvkd.models.recognizers import build_recognizer, without_pretrained


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on each attempt to read or fetch weights."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f'weights were asked for: {args}')

    for name in (
        'torch.load',
        'torch.hub.load_state_dict_from_url',
        'mmengine.runner.checkpoint.CheckpointLoader.load_checkpoint',
    ):
        monkeypatch.setattr(name, fail)


def torchvision_tsn(**backbone: Any) -> dict:
    config = tiny_tsn()
    config['backbone'] = dict(type='torchvision.resnet18', **backbone)
    config['cls_head'] = dict(
        type='TSNHead', num_classes=CLASSES, in_channels=512, average_clips='prob'
    )
    return config


def pretrained_models() -> list:
    tsm, tsn, slowfast, swin = tiny_tsm(), tiny_tsn(), tiny_slowfast(), tiny_swin()
    tsm['backbone'].update(pretrained=NOWHERE, pretrained2d=True)
    tsn['backbone']['pretrained'] = 'torchvision://resnet18'
    slowfast['backbone'].update(pretrained=NOWHERE)
    slowfast['backbone']['slow_pathway']['pretrained'] = NOWHERE
    swin['backbone'].update(pretrained=NOWHERE, pretrained2d=True)
    init = dict(type='Pretrained', checkpoint=NOWHERE, prefix='backbone.')
    inner = tiny_mmpretrain(init_cfg=[dict(type='Kaiming', layer='Conv2d'), init])
    return [
        pytest.param(tsm, id='tsm'),
        pytest.param(tsn, id='tsn'),
        pytest.param(slowfast, id='slowfast'),
        pytest.param(swin, id='swin'),
        pytest.param(tiny_mmpretrain(init_cfg=init), id='mmpretrain'),
        pytest.param(inner, id='mmpretrain-list'),
        pytest.param(
            tiny_mmpretrain(init_cfg=dict(init, type=PretrainedInit)),
            id='mmpretrain-class',
        ),
        pytest.param(torchvision_tsn(weights='IMAGENET1K_V1'), id='torchvision'),
        pytest.param(torchvision_tsn(pretrained=True), id='torchvision-old'),
        pytest.param(dict(tiny_tsm(), init_cfg=init), id='recognizer'),
    ]


@pytest.mark.usefixtures('no_files')
@pytest.mark.parametrize('model', pretrained_models())
def test_a_teachers_own_pretrained_is_never_executed(model: dict) -> None:
    made = build(config(teachers=dict(t=teacher(model)), heads={}))
    assert made.teachers['t'].loaded


@pytest.mark.usefixtures('no_files')
def test_the_guard_against_reading_sees_a_student_that_does() -> None:
    student = tiny_tsm()
    student['backbone'].update(pretrained=NOWHERE)
    with pytest.raises(AssertionError, match='weights were asked for'):
        build(config(student))


def test_only_what_fetches_weights_is_turned_off_in_a_teachers_config() -> None:
    model = tiny_tsm()
    init = [dict(type='Kaiming', layer='Conv2d')]
    model['backbone'].update(pretrained=NOWHERE, init_cfg=init)
    stripped = without_pretrained(model)
    expected = tiny_tsm()
    expected['backbone'].update(init_cfg=init, pretrained=None, pretrained2d=False)
    assert stripped == expected
    assert model['backbone']['pretrained'] == NOWHERE
    build_recognizer('teacher', stripped)
