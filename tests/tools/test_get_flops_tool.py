"""tools/get_flops.py and what it measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_project import Project, loader, tool
from toys import tiny_tsm

from mmvkd.evaluation.complexity import view_shape

flops = tool('get_flops')


def test_a_distiller_costs_what_its_student_costs(project: Project) -> None:
    teacher = dict(
        type='mmvkd.RecognizerTeacher', model='no/such/config.py', checkpoint='none.pth'
    )
    distiller = project.distiller('cost', model=dict(teachers=dict(t=teacher)))
    plain = flops([project.config('plain')])
    assert flops([distiller]) == plain
    assert plain.shape == (1, 4, 3, 32, 32)


def test_the_numbers_are_those_of_a_resnet18(project: Project) -> None:
    cost = flops([project.config('plain'), '--shape', '4', '3', '224', '224'])
    # without its 1000 classes: 11,176,512 parameters
    assert cost.parameters == 11_176_512 + 4 * 513
    # the published 1.82 G multiply-adds, batch norm counted
    assert cost.gflops / 4 == pytest.approx(1.82, abs=0.02)


def test_operations_grow_with_frames_and_area(project: Project) -> None:
    plain = project.config('plain')
    small = flops([plain])
    large = flops([plain, '--shape', '64'])
    assert large.shape == (1, 4, 3, 64, 64)
    assert large.gflops == pytest.approx(4 * small.gflops, rel=0.01)
    assert large.parameters == small.parameters


@pytest.mark.parametrize(
    ('shape', 'told'),
    [
        (('1', '3', '4', '32', '32'), 'a Recognizer2D takes a shape T C H W, not 5 n'),
        (('0',), 'each number is 1 or more'),
    ],
)
def test_a_shape_that_does_not_fit_ends_in_a_line(
    project: Project, capsys: pytest.CaptureFixture, shape: tuple, told: str
) -> None:
    with pytest.raises(SystemExit):
        flops([project.config('plain'), '--shape', *shape])
    assert told in capsys.readouterr().err


def test_latency_and_numbers_are_written(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / 'cost.json'
    cost = flops([project.config('plain'), '--latency', '--out', str(out)])
    assert cost.latency_ms > 0
    written = json.loads(out.read_text())
    assert written['parameters'] == cost.parameters
    assert written['latency_ms'] == cost.latency_ms
    assert f'{cost.parameters / 1e6:.2f} M' in capsys.readouterr().out


def pipeline(*transforms: dict) -> dict[str, Any]:
    """A config whose validation has these transforms."""
    return dict(val_dataloader=dict(dataset=dict(dataset=dict(pipeline=transforms))))


def crop(kind: str, size: Any) -> dict:
    return dict(type=kind, crop_size=size)


FRAMES = dict(type='SampleFrames', clip_len=1, num_clips=8)
CLIPS = dict(type='mmaction.SampleFrames', clip_len=32, frame_interval=2, num_clips=10)
SHORT_SIDE = dict(type='Resize', scale=(-1, 256))
WIDE = dict(type='Resize', scale=(96, 64), keep_ratio=False)
FLAT = dict(type='FormatShape', input_format='NCHW')
DEEP = dict(type='FormatShape', input_format='NCTHW')


@pytest.mark.parametrize(
    ('transforms', 'shape'),
    [
        (
            [FRAMES, SHORT_SIDE, crop('TenCrop', 224), FLAT],
            (8, 224, 224),
        ),
        ([FRAMES, WIDE, FLAT], (8, 64, 96)),
        (
            [CLIPS, SHORT_SIDE, dict(type='ThreeCrop', crop_size=256), DEEP],
            (32, 256, 256),
        ),
        (
            [CLIPS, WIDE, dict(type='CenterCrop', crop_size=(48, 32)), DEEP],
            (32, 32, 48),
        ),
    ],
)
def test_the_shape_is_one_view_of_the_pipeline(
    transforms: list[dict], shape: tuple[int, ...]
) -> None:
    frames, height, width = shape
    expected = (frames, 3, height, width)
    if transforms[-1] is DEEP:
        expected = (1, 3, *shape)
    assert view_shape(pipeline(*transforms)) == expected


def test_a_shape_that_the_pipeline_leaves_open_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r'image: \?.*give --shape'):
        view_shape(pipeline(FRAMES, SHORT_SIDE, FLAT))
    assert view_shape(pipeline(FRAMES, SHORT_SIDE, FLAT), (32,)) == (8, 3, 32, 32)


def test_a_published_config_of_mmaction2_is_measured() -> None:
    name = 'mmaction::recognition/tsm/'
    name += 'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'
    cost = flops([name])
    assert cost.shape == (1, 8, 3, 224, 224)
    # the model zoo's table: 23.87 M, 33 GFLOPs at 224²
    assert cost.parameters / 1e6 == pytest.approx(23.87 + 0.46, abs=0.1)
    assert cost.gflops == pytest.approx(33, rel=0.01)


def test_skeleton_recognizers_are_refused(
    project: Project, capsys: pytest.CaptureFixture
) -> None:
    backbone = dict(
        type='STGCN', graph_cfg=dict(layout='coco', mode='stgcn_spatial'), in_channels=3
    )
    head = dict(type='GCNHead', num_classes=4, in_channels=256)
    model = dict(type='RecognizerGCN', backbone=backbone, cls_head=head)
    with pytest.raises(SystemExit):
        flops([project.config('skeleton', model=model)])
    assert 'RecognizerGCN does not recognize clips' in capsys.readouterr().err


def test_the_test_pipeline_serves_where_there_is_no_validation(
    project: Project,
) -> None:
    changes = dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
    config = project.config(
        'test_only',
        model=tiny_tsm(),
        test_dataloader=loader(project.test, False),
        **changes,
    )
    assert flops([config]).shape == (1, 4, 3, 32, 32)
