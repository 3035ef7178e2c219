"""The parts of a step run what they are called, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import NOWHERE, bench, distilling, loading, staged, whole
from mmaction.models import BaseRecognizer
from recognizer_toys import teacher, tiny_slowfast
from toys import CLASSES, tiny_tsm
from videos import write_list

from mmvkd.evaluation.benchmark import (
    by_turns,
)
from mmvkd.evaluation.setting import BenchmarkSettings
from mmvkd.evaluation.variants import (
    CACHED,
    DISTILLATION,
    LOADED,
    STUDENT,
    SUFFIXES,
    TEACHERS,
    Variant,
)
from mmvkd.models.heads import KDHead
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher
from mmvkd.models.teachers.store import read_header

# What runs in each part


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Counts teachers, students and heads that run."""
    counter: Counter = Counter()

    def counted(owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, method, run)

    counted(RecognizerTeacher, '__call__', 'teacher')
    counted(CachedTeacher, '__call__', 'cached')
    counted(BaseRecognizer, 'forward', 'recognizer')
    counted(KDHead, 'forward', 'kd')
    counted(torch.Tensor, 'backward', 'backward')
    yield counter


def ran(counter: Counter, variant: Variant) -> dict[str, int]:
    """What a step calls."""
    given = variant.prepare()
    counter.clear()
    variant.run(given)
    return dict(counter)


def test_a_distillation_step_calls_each_teacher_once(
    tmp_path: Path, calls: Counter
) -> None:
    teachers = dict(a=teacher(checkpoint=NOWHERE), b=teacher(checkpoint=NOWHERE))
    parts = bench(tmp_path, whole(distilling(teachers=teachers)))
    step = parts.variant(DISTILLATION)
    for _ in range(2):
        assert ran(calls, step) == dict(teacher=2, kd=1, backward=1)


def test_the_teachers_alone_call_nothing_else(tmp_path: Path, calls: Counter) -> None:
    assert ran(calls, bench(tmp_path).variant(TEACHERS)) == dict(teacher=1)


def test_the_plain_student_meets_no_teacher(tmp_path: Path, calls: Counter) -> None:
    step = bench(tmp_path).variant(STUDENT)
    assert ran(calls, step) == dict(recognizer=1, backward=1)


def test_a_head_alone_runs_no_model(tmp_path: Path, calls: Counter) -> None:
    parts = bench(tmp_path)
    kd, hint = parts.variant('head kd'), parts.variant('head hint')
    backbones: list[int] = []
    for model in (parts.online.student, parts.online.teachers['t'].model):
        model.backbone.register_forward_hook(lambda *args: backbones.append(1))
    assert ran(calls, kd) == dict(kd=1, backward=1)
    assert ran(calls, hint) == dict(backward=1)
    assert backbones == []
    connector = parts.online.heads['hint'].connectors['t'].conv
    assert connector.weight.grad is not None


def test_a_cached_step_reads_a_real_store_and_runs_no_teacher(
    tmp_path: Path, calls: Counter
) -> None:
    parts = bench(tmp_path)
    step = parts.variant(CACHED)
    assert (tmp_path / 't' / 'entries.bin').is_file()
    assert ran(calls, step) == dict(cached=1, kd=1, backward=1)
    # another process finds the store, and builds no teacher for it
    calls.clear()
    again = bench(tmp_path)
    assert ran(calls, again.variant(CACHED)) == dict(cached=1, kd=1, backward=1)
    assert 'online' not in vars(again)


def test_a_config_whose_teacher_is_cached_is_measured_with_both(
    tmp_path: Path, calls: Counter
) -> None:
    settings = teacher(checkpoint=NOWHERE)
    settings.update(
        type='mmvkd.CachedTeacher', store='nowhere', topk=2, temperature=4.0
    )
    model = distilling(
        teachers=dict(t=settings), heads=dict(kd=dict(type='mmvkd.KDHead'))
    )
    parts = bench(tmp_path, whole(model))
    assert ran(calls, parts.variant(DISTILLATION))['teacher'] == 1
    assert ran(calls, parts.variant(CACHED))['cached'] == 1
    assert (
        json.loads((tmp_path / 't' / 'store.json').read_text())['layout']['topk'] == 2
    )


def test_a_store_says_of_its_own_teacher_whether_classes_exclude_each_other(
    tmp_path: Path,
) -> None:
    binary = tiny_tsm()
    binary['cls_head']['loss_cls'] = dict(type='BCELossWithLogits')
    model = distilling(
        teachers=dict(b=teacher(binary, NOWHERE), t=teacher(checkpoint=NOWHERE)),
        heads=dict(hint=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4')),
    )
    bench(tmp_path, whole(model)).write_stores()
    told = {name: read_header(tmp_path / name)[0].multi_label for name in 'bt'}
    assert told == dict(b=True, t=False)


def test_a_cached_teacher_has_the_weights_that_wrote_its_store(tmp_path: Path) -> None:
    teachers = dict(a=teacher(checkpoint=NOWHERE), b=teacher(checkpoint=NOWHERE))
    heads = dict(parameter=dict(type='mmvkd.ParameterHead'))
    parts = bench(tmp_path, whole(distilling(teachers=teachers, heads=heads)))
    step = parts.variant(CACHED)
    step.run(step.prepare())
    for name, cached in parts._cached_distiller().teachers.items():
        theirs = parts.online.teachers[name].kernels()
        for key, kernel in cached.kernels().items():
            assert torch.equal(kernel, theirs[key]), key
        assert cached.store.fingerprint['teacher']['weights'] is not None


@pytest.fixture
def suffixes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """What teachers run on from, call by call."""
    given: list[dict[str, torch.Tensor]] = []
    original = RecognizerTeacher.hybrid

    def hybrid(self: Any, inputs: Any, features: Any) -> Any:
        given.append(dict(features))
        return original(self, inputs, features)

    monkeypatch.setattr(RecognizerTeacher, 'hybrid', hybrid)
    return given


@pytest.mark.parametrize(('hybrids', 'count'), [('one', 1), ('all', 3)])
def test_suffixes_alone_run_from_given_features_and_back_to_them(
    hybrids: str, count: int, tmp_path: Path, calls: Counter, suffixes: list
) -> None:
    parts = bench(tmp_path, staged(hybrids=hybrids))
    variant = parts.variant(SUFFIXES)
    given = variant.prepare()
    ran_on: list[int] = []
    models = parts.online.student, parts.online.teachers['t'].model
    for model in models:
        first = model.backbone.conv1.conv
        first.register_forward_hook(lambda *args: ran_on.append(1))
    suffixes.clear()
    calls.clear()
    variant.run(given)
    assert calls == dict(backward=count)
    assert len(suffixes) == count
    assert all(x.grad is not None for call in suffixes for x in call.values())
    assert ran_on == []
    assert all(x.grad is None for model in models for x in model.parameters())


def test_suffixes_alone_are_those_that_the_step_of_the_round_draws(
    tmp_path: Path, suffixes: list
) -> None:
    parts = bench(tmp_path, staged())
    drawn: dict[str, list[str]] = {SUFFIXES: [], DISTILLATION: []}

    def noting(name: str) -> Variant:
        variant = parts.variant(name)

        def run(given: Any) -> None:
            suffixes.clear()
            variant.run(given)
            drawn[name] += [tap for call in suffixes for tap in call]

        return Variant(run, variant.prepare)

    by_turns({n: noting(n) for n in drawn}, BenchmarkSettings(2, 32, steps=5, warmup=0))
    assert drawn[SUFFIXES] == drawn[DISTILLATION]
    assert len(drawn[SUFFIXES]) == 5 and len(set(drawn[SUFFIXES])) > 1


def test_a_training_step_moves_no_weight_but_does_all_else(tmp_path: Path) -> None:
    parts = bench(tmp_path)
    step = parts.variant(DISTILLATION)
    model = parts.online
    before = {key: p.clone() for key, p in model.named_parameters()}
    means = model.student.backbone.conv1.bn.running_mean.clone()
    learned: set[str] = set()
    for key, parameter in model.named_parameters():
        parameter.register_hook(lambda grad, key=key: learned.add(key))
    step.run(step.prepare())
    for key, parameter in model.named_parameters():
        assert torch.equal(parameter, before[key]), key
    assert learned == set(before)
    assert not torch.equal(model.student.backbone.conv1.bn.running_mean, means)


def test_made_up_teachers_differ_among_classes_as_trained_ones(tmp_path: Path) -> None:
    parts = bench(tmp_path)
    views, samples, _ = parts._seen()
    logits = parts.online.teachers['t'](views, samples).logits
    assert float(logits.std()) == pytest.approx(3, rel=0.5)


def test_the_variants_are_those_of_the_config(tmp_path: Path) -> None:
    assert bench(tmp_path).names == [
        STUDENT,
        TEACHERS,
        DISTILLATION,
        'head kd',
        'head hint',
        CACHED,
    ]
    assert bench(tmp_path, whole(tiny_tsm())).names == [STUDENT]
    student = tiny_tsm()
    student['data_preprocessor']['blending'] = dict(
        type='MixupBlending', num_classes=CLASSES
    )
    blended = bench(tmp_path, whole(distilling(student=student)))
    assert CACHED not in blended.names
    assert str(blended.caching_problem).startswith('MixupBlending blends clips')
    for _ in range(2):
        step = blended.variant(DISTILLATION)
        step.run(step.prepare())


def test_clips_are_of_the_configs_shape_or_the_one_asked_for(tmp_path: Path) -> None:
    parts = bench(tmp_path, batch=3, size=48)
    inputs = parts.clips.made_up()['inputs']
    assert len(inputs) == 3
    assert inputs[0].shape == (4, 3, 48, 48) and inputs[0].dtype == torch.uint8
    assert bench(tmp_path, size=None).clips.shape == (4, 3, 32, 32)
    deep = whole(tiny_slowfast())
    deep['val_dataloader']['dataset']['pipeline'] = [
        dict(type='SampleFrames', clip_len=16, num_clips=1),
        dict(type='FormatShape', input_format='NCTHW'),
    ]
    assert bench(tmp_path, deep).clips.shape == (1, 3, 16, 32, 32)
    assert bench(tmp_path, deep, frames=8).clips.shape == (1, 3, 8, 32, 32)
    step = bench(tmp_path, deep, frames=8).variant(STUDENT)
    step.run(step.prepare())


def test_frames_that_teachers_need_are_not_the_plain_students(tmp_path: Path) -> None:
    model = distilling(
        teachers=dict(t=teacher(tiny_tsm(frames=8), NOWHERE)),
        heads=dict(kd=dict(type='mmvkd.KDHead')),
    )
    data = dict(type='mmvkd.SeededDataset', dataset={}, oversample=2)
    parts = bench(tmp_path, whole(model, train_dataloader=dict(dataset=data)))
    assert parts.variant(STUDENT).prepare()['inputs'][0].shape[0] == 4
    step = parts.variant(DISTILLATION)
    given = step.prepare()
    assert given['inputs'][0].shape[0] == 8
    step.run(given)


def test_a_student_alone_is_given_its_own_frames_and_a_label_of_each_clip(
    tmp_path: Path,
) -> None:
    model = distilling(
        teachers=dict(t=teacher(tiny_tsm(frames=8), NOWHERE)),
        heads=dict(kd=dict(type='mmvkd.KDHead')),
    )
    path = Path(write_list(tmp_path, 3))
    path.write_text(path.read_text().replace(' 1\n', ' -1\n'))
    loader = loading(str(path), oversample=2)
    parts = bench(tmp_path / 'stores', whole(model, train_dataloader=loader), batch=3)
    step = parts.variant(f'{STUDENT}{LOADED}')
    step.run(step.prepare())
    batch = next(parts.clips.loaded())
    assert len(batch['inputs'][0]) == 4
    assert min(int(sample.gt_label) for sample in batch['data_samples']) == 0


def test_a_student_is_multi_label_by_its_loss_too(tmp_path: Path) -> None:
    student = tiny_tsm()
    student['cls_head']['loss_cls'] = dict(type='BCELossWithLogits')
    step = bench(tmp_path, whole(student)).variant(STUDENT)
    step.run(step.prepare())


def test_teachers_that_a_head_runs_on_are_not_cached(tmp_path: Path) -> None:
    loader = loading(write_list(tmp_path, 5))
    parts = bench(tmp_path, dict(staged(), train_dataloader=loader))
    heads = ['head substage']
    assert parts.names == [STUDENT, TEACHERS, SUFFIXES, DISTILLATION, *heads]
    assert parts.loaded_names == [f'{STUDENT}{LOADED}']
    late = dict(late=dict(student='backbone.layer4'))
    alone = staged(terms=dict(combination=0), substages=late)
    features = bench(tmp_path / 'stores', alone)
    assert features.names == [STUDENT, TEACHERS, DISTILLATION, *heads, CACHED]


def test_teachers_that_learn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='those of the config learn'):
        bench(tmp_path, whole(distilling(mutual=True)))


# Real clips


def test_clips_are_loaded_within_the_step_where_there_are_any(
    tmp_path: Path, calls: Counter
) -> None:
    loader = loading(write_list(tmp_path, 5))
    parts = bench(tmp_path / 'stores', whole(train_dataloader=loader))
    assert parts.clips.loading_problem is None
    assert parts.loaded_names == [f'{STUDENT}{LOADED}', f'{CACHED}{LOADED}']
    for name, expected in zip(
        parts.loaded_names, (dict(recognizer=1), dict(cached=1, kd=1))
    ):
        step = parts.variant(name)
        for _ in range(4):  # more than an epoch
            assert ran(calls, step) == dict(expected, backward=1)
    assert len(parts.clips.loading_times()) == 1
