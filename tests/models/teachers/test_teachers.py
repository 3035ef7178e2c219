"""Teachers are frozen, hidden from training, and read only when it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from recognizer_toys import (
    backward,
    build,
    config,
    distiller,
    file_of,
    losses,
    plain,
    run,
    teacher,
    tiny_mmpretrain,
    tiny_slowfast,
    tiny_swin,
    tiny_tsn,
    volumes,
)
from torch import Tensor, nn
from toys import CLASSES, batch, tiny_tsm

from mmvkd.models import RecognizerTeacher
from mmvkd.models.outputs import Outputs
from mmvkd.models.recognizers import build_recognizer, without_pretrained
from mmvkd.models.views import Views

NOWHERE = '/nowhere/weights.pth'


def frozen(model: Any = None, checkpoint: str = 'random', **kwargs: Any):
    """A loaded teacher."""
    made = RecognizerTeacher(model or tiny_tsm(), checkpoint, **kwargs)
    made.attach('t', {'backbone': None})
    made.load()
    return made


def outputs(made: RecognizerTeacher, inputs: Tensor) -> Outputs:
    """What a teacher says of an input that is in its view."""
    return made({made.view: inputs}, [])


def test_a_teacher_without_its_weights_says_nothing() -> None:
    made = RecognizerTeacher(tiny_tsm(), NOWHERE)
    made.attach('t', {})
    with pytest.raises(RuntimeError, match=r"'t' has not read .* call init_weights"):
        outputs(made, torch.zeros(1, 4, 3, 32, 32))


def named(folder: Path, model: dict, *transforms: dict) -> dict[str, Any]:
    """A teacher's settings that name a config with this validation pipeline."""
    loaded = dict(dataset=dict(type='VideoDataset', pipeline=list(transforms)))
    path = folder / 'teacher.py'
    Config(dict(model=model, val_dataloader=loaded)).dump(str(path))
    return dict(model=dict(config=str(path)))


SAMPLES = dict(type='mmaction.SampleFrames', clip_len=16, frame_interval=2, num_clips=1)


def test_a_3d_teacher_of_a_config_takes_the_frames_of_its_pipeline(
    tmp_path: Path,
) -> None:
    settings = named(tmp_path, tiny_slowfast(), dict(type='DecordInit'), SAMPLES)
    model = config(teachers=dict(t=teacher(**settings)))
    told = 'takes 16 frames but the clip has 4; .* load more with oversample=4'
    with pytest.raises(ValueError, match=told):
        losses(build(model), batch(frames=4))
    oversampled = losses(build(model), batch(frames=16))
    assert oversampled['loss_kd'].isfinite()


@pytest.mark.parametrize(
    ('model', 'transforms', 'view', 'expected'),
    [
        (tiny_slowfast(), [SAMPLES], dict(num_frames=8), 8),
        (tiny_slowfast(), [dict(type='UniformSample', clip_len=12)], {}, 12),
        (tiny_slowfast(), [dict(type='DecordInit')], {}, None),
        (tiny_tsn(), [SAMPLES], {}, None),
    ],
)
def test_what_the_view_says_goes_first_and_a_2d_teacher_takes_any_number(
    tmp_path: Path, model: dict, transforms: list, view: dict, expected: Any
) -> None:
    settings = named(tmp_path, model, *transforms)
    made = RecognizerTeacher(settings['model'], 'random', view=view)
    assert made.view.num_frames == expected


def test_its_classifier_is_the_last_linear_layer_of_as_many_outputs() -> None:
    made = frozen()
    rows = made.model.cls_head.fc_cls.weight
    made.model.cls_head.after = nn.Linear(8, CLASSES + 1)  # as TRN orders its layers
    assert torch.equal(made.classifier, rows)


def test_a_trn_that_draws_its_relations_says_the_same_of_a_clip_each_time() -> None:
    model = tiny_tsn()
    model['cls_head'] = dict(
        type='TRNHead', num_classes=CLASSES, in_channels=512, hidden_dim=8
    )
    made = frozen(model)
    clips = torch.randn(2, 8, 3, 32, 32)
    before = np.random.get_state()[1].tolist()
    logits = outputs(made, clips).logits
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(1)
    assert torch.equal(outputs(made, clips).logits, logits)
    assert torch.allclose(outputs(made, clips[1:]).logits, logits[1:], atol=1e-5)


def test_teachers_go_where_the_student_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = distiller()
    places: list[str] = []
    monkeypatch.setattr(
        model.teachers['t'], 'to', lambda device: places.append(device.type)
    )
    model.to('meta')
    model.float()  # names no device
    assert places == ['meta', 'meta']


def test_teachers_are_not_part_of_the_model() -> None:
    model = distiller(heads=dict(h=dict(type='mmvkd.FitNetsHead', tap='backbone')))
    wrapper = model.teachers['t']
    theirs = {id(p) for p in wrapper.model.parameters()}
    assert theirs and not theirs & {id(p) for p in model.parameters()}
    buffers = {id(b) for b in wrapper.model.buffers()}
    assert not buffers & {id(b) for b in model.buffers()}
    modules = {id(m) for m in wrapper.model.modules()}
    assert not modules & {id(m) for m in model.modules()}
    ours = list(plain(tiny_tsm()).state_dict())
    connector = 'distill.heads.h.connectors.t.conv.'
    assert list(model.state_dict()) == [
        *ours,
        f'{connector}weight',
        f'{connector}bias',
    ]
    assert not isinstance(wrapper, nn.Module)


@pytest.mark.parametrize(
    ('model', 'make', 'random_part'),
    [
        (tiny_swin(drop_path=0.2), volumes, 'DropPath'),
        (tiny_tsm(), batch, 'Dropout'),
        (tiny_slowfast(), volumes, 'Dropout'),
    ],
    ids=['swin', 'tsm', 'slowfast'],
)
def test_two_training_passes_give_the_same_outputs(
    model: dict, make: Any, random_part: str
) -> None:
    tap = dict(type='mmvkd.FitNetsHead', tap='cls_head.fc_cls')
    made = distiller(model, dict(t=teacher(model)), dict(h=tap)).train()
    wrapper = made.teachers['t']
    parts = [m for m in wrapper.model.modules() if type(m).__name__ == random_part]
    assert any(
        getattr(m, 'p', 0) >= 0.5 or getattr(m, 'drop_prob', 0) > 0.1 for m in parts
    )
    seen = []
    call = type(wrapper).__call__

    def record(*args: Any) -> Any:
        seen.append(call(wrapper, *args))
        return seen[-1]

    made.teachers['t'] = _Recorder(wrapper, record)
    for _ in range(2):
        made.train()
        backward(made, make(clips=2))
    first, second = seen
    assert torch.equal(first.logits, second.logits)
    assert torch.equal(
        first.features['cls_head.fc_cls'], second.features['cls_head.fc_cls']
    )
    assert not first.logits.requires_grad
    # the test would see it: the same model awake differs
    wrapper.model.train()
    awake = wrapper(Views(_clip(make)), [])
    assert not torch.equal(awake.logits, first.logits)


def _clip(make: Any) -> Tensor:
    inputs = torch.stack(make(clips=2)['inputs'])
    # [N, V, C, T, H, W]
    return inputs.transpose(1, 2)[:, None] if make is batch else inputs


class _Recorder:
    """A teacher that notes what it says."""

    def __init__(self, wrapper: RecognizerTeacher, call: Any) -> None:
        self.view, self.loaded, self.call = wrapper.view, wrapper.loaded, call

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


def test_a_training_run_leaves_every_tensor_of_a_teacher_as_it_was(
    tmp_path: Path,
) -> None:
    path = file_of(plain(tiny_tsm(), seed=8), tmp_path / 'teacher.pth')
    heads = dict(
        kd=dict(type='mmvkd.KDHead'),
        h=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
    )
    model = config(teachers=dict(t=teacher(checkpoint=path)), heads=heads)
    runner = run(model, tmp_path / 'run', epochs=2)
    before = torch.load(path, weights_only=True)['state_dict']
    after = runner.model.teachers['t'].model
    assert any(key.endswith('running_mean') for key in before)
    for key, value in after.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(m.training for m in after.modules())
    assert all(p.grad is None for p in after.parameters())


def test_a_teacher_that_knows_nothing_is_the_same_on_each_rank_and_in_each_run() -> (
    None
):
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = build(config(teachers=dict(t=teacher(), u=teacher())), init=False)
        before = torch.get_rng_state()
        model.load_teachers()
        assert torch.equal(torch.get_rng_state(), before)
        made.append([dict(t.model.named_parameters()) for t in model.teachers.values()])
    for (name, p), q in zip(made[0][0].items(), made[1][0].values()):
        assert torch.equal(p, q), name
    weight = 'backbone.conv1.conv.weight'
    assert not torch.equal(made[0][0][weight], made[0][1][weight])


def test_a_frozen_teacher_needs_a_checkpoint() -> None:
    with pytest.raises(ValueError, match=r"needs its checkpoint, or 'random'.*mutual"):
        build(config(teachers=dict(t=dict(teacher(), checkpoint=None))), init=False)


# Precision


def test_a_teacher_keeps_float32_inside_an_outer_autocast() -> None:
    made = frozen()
    inputs = torch.randn(2, 4, 3, 32, 32)
    expected = outputs(made, inputs)
    with torch.autocast('cpu', torch.bfloat16):
        got = outputs(made, inputs)
    assert got.logits.dtype == got.features['backbone'].dtype == torch.float32
    assert torch.equal(got.logits, expected.logits)


def test_a_teacher_runs_in_its_own_low_precision() -> None:
    torch.manual_seed(0)
    full = frozen()
    low = frozen(precision='bf16')
    low.model.load_state_dict(full.model.state_dict())
    inputs = torch.randn(2, 4, 3, 32, 32)
    got, expected = outputs(low, inputs), outputs(full, inputs)
    assert got.features['backbone'].dtype == torch.bfloat16
    assert {p.dtype for p in low.model.parameters()} == {torch.float32}
    assert not torch.equal(got.logits.float(), expected.logits)
    torch.testing.assert_close(got.logits.float(), expected.logits, atol=0.05, rtol=0.1)
    model = distiller(teachers=dict(t=teacher(precision='bf16')))
    assert losses(model, batch())['loss_kd'].dtype == torch.float32


def test_an_unknown_precision_is_told() -> None:
    with pytest.raises(ValueError, match="'fp8' is unknown; known: fp32, fp16, bf16"):
        RecognizerTeacher(tiny_tsm(), 'random', precision='fp8')


# Files


def test_only_training_needs_the_teachers_file() -> None:
    recipe = 'python tools/train.py configs/teachers/x.py'
    model = build(
        config(teachers=dict(t=teacher(checkpoint=NOWHERE, recipe=recipe))), init=False
    )
    assert len(model.val_step(batch())) == 2
    assert len(model.test_step(batch())) == 2
    model.to('cpu')
    with pytest.raises(FileNotFoundError) as info:
        model.init_weights()
    message = str(info.value)
    assert '\n' not in message
    assert NOWHERE in message and "teacher 't'" in message and recipe in message


def test_a_teachers_file_is_read_when_training_starts(tmp_path: Path) -> None:
    trained = plain(tiny_tsm(), seed=8)
    path = file_of(trained, tmp_path / 'teacher.pth')
    model = build(config(teachers=dict(t=teacher(checkpoint=path))))
    for key, value in trained.state_dict().items():
        assert torch.equal(model.teachers['t'].model.state_dict()[key], value), key


def test_a_distilled_student_can_be_the_next_teacher(tmp_path: Path) -> None:
    hint = dict(type='mmvkd.FitNetsHead', tap='backbone')
    student = distiller(heads=dict(h=hint))
    path = file_of(student, tmp_path / 'distilled.pth')
    # DDP's prefix, too
    wrapped = file_of(nn.ModuleDict(dict(module=student)), tmp_path / 'wrapped.pth')
    for source in (path, wrapped):
        made = frozen(checkpoint=source)
        for key, value in made.model.state_dict().items():
            assert torch.equal(value, student.state_dict()[key]), key


def refused(path: str, match: str, model: Any = None) -> None:
    with pytest.raises(RuntimeError, match=match) as info:
        build(config(teachers=dict(t=teacher(model, path))))
    assert '\n' not in str(info.value)


def test_a_checkpoint_of_another_depth_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm()), tmp_path / 'r18.pth')
    refused(path, "does not fit the teacher 't': .*missing", tiny_tsm(50))


def test_a_checkpoint_of_other_classes_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm(num_classes=7)), tmp_path / 'other.pth')
    refused(path, r'2 of another shape \(cls_head\.fc_cls\.weight: .*\(7, 512\)')


def test_a_checkpoint_with_a_key_too_many_is_refused(tmp_path: Path) -> None:
    path = file_of(plain(tiny_tsm()), tmp_path / 'x.pth', foreign=torch.zeros(1))
    refused(path, r'1 unknown keys \(as foreign\)')


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04cut'])
def test_a_corrupt_checkpoint_is_refused_in_a_line(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / 'corrupt.pth'
    path.write_bytes(content)
    refused(str(path), 'cannot be read in safe mode')


def test_a_truncated_checkpoint_is_refused_in_a_line(tmp_path: Path) -> None:
    path = Path(file_of(plain(tiny_tsm()), tmp_path / 'cut.pth'))
    path.write_bytes(path.read_bytes()[:-1000])
    refused(str(path), 'cannot be read in safe mode')


def test_an_address_that_gives_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = 'https://nowhere.example/weights.pth'

    def unavailable(*args: Any, **kwargs: Any) -> None:
        raise OSError('HTTP Error 404: Not Found')

    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', unavailable)
    refused(address, f"'{address}' of the teacher 't' cannot be fetched .*404")


@pytest.mark.parametrize('content', [torch.zeros(2), [1, 2], 3, {0: 1}])
def test_a_file_that_holds_no_state_is_refused_in_a_line(
    content: Any, tmp_path: Path
) -> None:
    path = tmp_path / 'strange.pth'
    torch.save(content, path)
    refused(str(path), 'strange.pth. holds no state dict')


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_checkpoint_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with this, which our tools set, an older torch is safe even where told not to be
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    trace = tmp_path / 'trace'
    path = tmp_path / 'evil.pth'
    state = plain(tiny_tsm()).state_dict()
    torch.save(dict(state_dict=state, meta=Evil(trace)), path)
    refused(str(path), 'cannot be read in safe mode')
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), 'the file does run code where it is allowed'


# `pretrained` of a teacher is never executed


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
