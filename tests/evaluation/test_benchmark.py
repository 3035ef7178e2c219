"""The parts of a step are what they are called, and are timed by turns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import NOWHERE, ONE, bench, distilling, loading, staged, whole
from mmaction.models import BaseRecognizer
from mmengine.logging import MessageHub
from recognizer_toys import teacher, tiny_slowfast
from toys import CLASSES, tiny_tsm
from videos import write_list

from mmvkd.evaluation import benchmark
from mmvkd.evaluation.benchmark import (
    LOADING,
    Report,
    Spread,
    by_turns,
    measure,
    memory_ratios,
    ratios_of,
    table,
)
from mmvkd.evaluation.setting import Setting
from mmvkd.evaluation.variants import (
    CACHED,
    DISTILLATION,
    LOADED,
    STUDENT,
    SUFFIXES,
    TEACHERS,
    Bench,
    Variant,
)
from mmvkd.models.heads import KDHead
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher
from mmvkd.models.teachers.store import described

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
    told = {name: described(tmp_path / name)[0].multi_label for name in 'bt'}
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

    by_turns({n: noting(n) for n in drawn}, Setting(2, 32, steps=5, warmup=0))
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


def test_a_missing_data_set_is_noted_and_the_rest_measured(tmp_path: Path) -> None:
    loader = loading(str(tmp_path / 'none.txt'))
    report = measure(whole(train_dataloader=loader), ONE, tmp_path / 'stores')
    assert LOADING not in report.times
    (note,) = report.notes
    assert note.startswith(f'{LOADING}: not measured;') and 'none.txt' in note


# Time


class Steps:
    """Variants that note when they run, on a clock of their own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **costs: float) -> None:
        self.log: list[str] = []
        self.now = 0.0
        monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: self.now)
        self.variants = {
            name: Variant(partial(self.run, name, cost), partial(self.prepare, name))
            for name, cost in costs.items()
        }

    def prepare(self, name: str) -> str:
        self.now += 100
        return f'for {name}'

    def run(self, name: str, cost: float, given: str) -> None:
        assert given == f'for {name}'
        self.log.append(name)
        self.now += cost


def test_variants_take_turns_and_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, a=1, b=2, c=3)
    times = by_turns(steps.variants, Setting(steps=2, warmup=1))
    assert steps.log == [*'abc', *'bca', *'cab']
    # preparing does not count
    assert times == dict(a=[1, 1], b=[2, 2], c=[3, 3])


def test_a_round_is_an_iteration_to_the_heads() -> None:
    seen: list[int] = []
    hub = MessageHub.get_current_instance()
    variant = Variant(lambda _: seen.append(hub.get_info('iter')))
    by_turns(dict(a=variant, b=variant), Setting(steps=2, warmup=1))
    assert seen == [0, 0, 1, 1, 2, 2]


def test_ratios_are_of_rounds_and_of_means() -> None:
    times = {STUDENT: [1, 2, 4], TEACHERS: [1, 2, 4], DISTILLATION: [2, 6, 12]}
    (ratio,) = ratios_of(times, plain_kd=True)
    assert ratio.spread == Spread(1.5, 1.25, 1.5)
    assert ratio.of_means == pytest.approx(20 / 14)
    assert ratio.of_fastest == 1
    assert ratio.bound == 1.05
    (looser,) = ratios_of(times, plain_kd=False)
    assert looser.bound == 1.10
    both = ratios_of({**times, CACHED: [1, 2, 5]}, plain_kd=True)
    assert [r.of for r in both] == [DISTILLATION, CACHED]
    assert both[1].spread.median == 1
    (staged,) = ratios_of({**times, SUFFIXES: [1, 2, 4]}, plain_kd=False)
    assert staged.over == (STUDENT, TEACHERS, SUFFIXES)
    assert (staged.spread.median, staged.of_fastest) == (1, 2 / 3)
    assert ratios_of({STUDENT: [1]}, plain_kd=True) == []


def test_memory_is_compared_with_what_a_step_needs() -> None:
    peaks = {STUDENT: 100, TEACHERS: 60, DISTILLATION: 120, CACHED: 102}
    step, cached = memory_ratios(peaks)
    assert (step['of'], step['ratio'], step['bound']) == (DISTILLATION, 0.75, 1.0)
    assert (cached['of'], cached['ratio'], cached['bound']) == (CACHED, 1.02, 1.02)
    assert memory_ratios({STUDENT: 100}) == []


@pytest.mark.parametrize(
    ('wrong', 'match'),
    [
        (dict(batch=0), 'batch must be 1 or more, got 0'),
        (dict(steps=0), 'steps must be 1 or more, got 0'),
    ],
)
def test_a_wrong_setting_is_told(wrong: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Setting(**wrong)


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match="device 'cuda': torch sees no CUDA device"):
        Setting(device='cuda')


def test_teachers_that_learn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='those of the config learn'):
        bench(tmp_path, whole(distilling(mutual=True)))


# The report


def test_a_report_has_every_part_as_text_and_as_plain_values(tmp_path: Path) -> None:
    asked: list[Any] = []

    def peaks(names: Any) -> dict[str, int]:
        asked.extend(names)
        return dict.fromkeys(names, 2**20)

    report = measure(whole(), Setting(2, 32, steps=2, warmup=0), tmp_path, peaks)
    assert asked == [STUDENT, TEACHERS, DISTILLATION, CACHED]
    assert list(report.times) == Bench(whole(), ONE, tmp_path).names
    assert all(len(values) == 2 for values in report.times.values())
    told = json.loads(json.dumps(report.plain()))
    assert told['about']['clip'] == [4, 3, 32, 32] and told['about']['batch'] == 2
    assert {'median', 'lower', 'upper', 'steps'} == set(told['times'][STUDENT])
    assert [ratio['of'] for ratio in told['ratios']] == [DISTILLATION, CACHED]
    assert told['ratios'][0]['over'] == [STUDENT, TEACHERS]
    assert [ratio['ratio'] for ratio in told['memory_ratios']] == [0.5, 1.0]
    text = table(report)
    for name in (*report.times, f'{DISTILLATION} / ({STUDENT} + {TEACHERS})'):
        lines = [line for line in text.splitlines() if line.startswith(f'{name}  ')]
        assert len(lines) == 1, name
    assert '2 clips of 4 x 3 x 32 x 32, 2 rounds, CPU' in text


def test_a_report_says_why_no_cached_step_was_measured(tmp_path: Path) -> None:
    asked: list[str] = []

    def peaks(names: Any) -> dict[str, int]:
        asked.extend(names)
        return dict.fromkeys(names, 2**20)

    report = measure(staged(), ONE, tmp_path, peaks)
    assert list(report.times) == bench(tmp_path, staged()).names
    assert asked == [STUDENT, TEACHERS, DISTILLATION]
    note, _ = report.notes
    assert note.startswith(f"{CACHED}: not measured; teacher 't' is a CachedTeacher")
    (ratio,) = report.ratios
    assert ratio.over == (STUDENT, TEACHERS, SUFFIXES)


def test_a_recognizer_alone_is_reported_without_ratios() -> None:
    report = Report(
        dict(batch=1, clip=[4, 3, 8, 8], steps=1, device='CPU', threads=1, torch='2'),
        {STUDENT: [0.5]},
        [],
        {STUDENT: 3 * 2**20},
        [],
        ['a note'],
    )
    assert table(report).splitlines() == [
        '                  median                 quartiles        mean  peak memory',
        'student step   500.00 ms    500.00 ms to 500.00 ms   500.00 ms        3 MiB',
        '',
        '1 clips of 4 x 3 x 8 x 8, 1 rounds, CPU, 1 threads, torch 2',
        'a note',
    ]
