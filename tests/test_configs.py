"""The published configs, for each data set."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mmaction
import pytest
import torch
from mmaction.registry import DATASETS, MODELS, TRANSFORMS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from videos import write_list

from mmvkd.datasets import motions
from mmvkd.engine import launch
from mmvkd.models.recognizers import build_recognizer, recognizer_config
from mmvkd.registry import TRANSFORMS as OUR_TRANSFORMS
from mmvkd.seeding import seed_shared

ROOT = Path(__file__).parents[1]
FOLDERS = ('students', 'teachers', 'distill')
NAMES = [
    f'{folder}/{file.name}'
    for folder in FOLDERS
    for file in sorted((ROOT / 'configs' / folder).glob('*.py'))
]
PRETEXT = [
    f'pretext/{file.name}' for file in sorted((ROOT / 'configs/pretext').glob('*.py'))
]
SELF_SUPERVISED = [name.replace('pretext/', 'teachers/') for name in PRETEXT]
AFTER_COHERENCE = [f'pretext/{t}_tsm_r50.py' for t in ('sorting', 'odd_one_out')]
PLAIN = [name for name in NAMES if not name.startswith('distill/')]
DISTILL = [name for name in NAMES if name.startswith('distill/')]
MAIN = 'distill/graph_tsm_r50_to_r18.py'
TASKS = ('sorting', 'registration', 'coherence', 'odd_one_out')
CLASSES = dict(
    motions=len(motions.CLASSES),
    kinetics400=400,
    sthv1=174,
    sthv2=174,
    jester=27,
    ucf101=101,
    hmdb51=51,
    own=2,
)
WORDS = list(CLASSES)
SETTINGS = ('DATA', 'SIZE', 'PROBE', 'NUM_CLASSES', 'TRAIN_LIST', 'VAL_LIST', 'VIDEOS')
MMACTION = Path(mmaction.__file__).parent / '.mim'


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, and nothing of the environment that a config reads."""
    for name in SETTINGS:
        monkeypatch.delenv(f'MMVKD_{name}', raising=False)
    torch.set_num_threads(1)
    yield


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The data-set word, in the environment."""
    monkeypatch.setenv('MMVKD_DATA', request.param)
    return request.param


@cache
def parsed(word: str, name: str) -> Config:
    assert os.environ.get('MMVKD_DATA', 'motions') == word
    return Config.fromfile(ROOT / 'configs' / name)


@cache
def named(word: str, name: str) -> dict[str, Any]:
    assert os.environ.get('MMVKD_DATA', 'motions') == word
    return recognizer_config(name)


def zoo(name: str) -> Config:
    """A config of MMAction2."""
    return Config.fromfile(MMACTION / 'configs' / 'recognition' / name)


def recognizers(word: str, config: Config) -> dict[str, dict[str, Any]]:
    """The model dicts of student and teachers, by name."""
    model = config.model
    if model.type != 'mmvkd.VideoDistiller':
        return dict(student=recognizer_config(model))
    found = dict(student=named(word, model.student.config))
    for name, teacher in model.get('teachers', {}).items():
        found[name] = named(word, teacher.model.config)
    return found


def datasets(config: Config) -> dict[str, Any]:
    """The data sets of the three loaders, ours unwrapped."""
    wrapper = config.train_dataloader.dataset
    return dict(
        train=wrapper.dataset,
        val=config.val_dataloader.dataset,
        test=config.test_dataloader.dataset,
    )


def steps(pipeline: Any) -> list[dict[str, Any]]:
    """A pipeline as plain dicts, without where files come from."""
    plain = [step.to_dict() for step in pipeline]
    return [{k: s[k] for k in s if k not in ('io_backend', '_scope_')} for s in plain]


def plain(setting: Any) -> Any:
    """A setting as plain dicts and lists."""
    return Config(dict(setting=setting)).to_dict()['setting']


every_word = pytest.mark.parametrize('data', WORDS, indirect=True)
every_name = pytest.mark.parametrize('name', NAMES)


def test_no_folder_is_empty() -> None:
    assert {name.split('/')[0] for name in NAMES} == set(FOLDERS)


@every_word
def test_classes_agree_between_data_student_and_teachers(data: str) -> None:
    for name in NAMES:
        config = parsed(data, name)
        assert (config.dataset, config.num_classes) == (data, CLASSES[data])
        counts = {
            role: model['cls_head']['num_classes']
            for role, model in recognizers(data, config).items()
        }
        assert set(counts.values()) == {CLASSES[data]}, (name, counts)


@every_word
def test_loaders_feed_what_the_models_take(data: str) -> None:
    for name in NAMES:
        config = parsed(data, name)
        models = recognizers(data, config)
        wrapper = config.train_dataloader.dataset
        assert wrapper.type in ('mmvkd.SeededDataset', 'mmvkd.WeakLabels'), name
        assert config.train_dataloader.sampler.type == 'mmvkd.SeededSampler', name
        layout = models['student']['data_preprocessor']['format_shape']
        for stage, dataset in datasets(config).items():
            by_type = {step.type: step for step in dataset.pipeline}
            assert by_type['FormatShape'].input_format == layout, (name, stage)
            training = stage == 'train'
            assert dataset.get('test_mode', False) is not training, (name, stage)
            sampling = by_type['SampleFrames']
            assert sampling.get('test_mode', False) is not training, (name, stage)
            built = [TRANSFORMS.build(step) for step in dataset.pipeline]
            assert type(built[-1]).__name__ == 'PackActionInputs', (name, stage)
            if training:
                frames = sampling.clip_len * sampling.num_clips
        volumes = [m for m in models.values() if m['type'] == 'Recognizer3D']
        frames *= wrapper.get('oversample', 1)
        assert frames == (32 if volumes else 8), name


@every_word
def test_lists_lie_in_the_folder_of_the_data_set(data: str) -> None:
    for name in NAMES:
        config = parsed(data, name)
        lists = []
        for dataset in datasets(config).values():
            lists.append(dataset.ann_file)
            (files,) = dataset.data_prefix.values()
            assert {lists[-1].split('/')[1], files.split('/')[1]} == {data}, name
        assert lists[0] not in lists[1:], name


@every_word
def test_no_two_runs_share_a_folder(data: str) -> None:
    for name in NAMES:
        folder = parsed(data, name).work_dir
        assert folder == f'work_dirs/{data}/{Path(name).stem}'


@every_word
def test_teachers_come_from_the_zoo_or_from_the_run_that_the_recipe_names(
    data: str,
) -> None:
    for name in DISTILL:
        config = parsed(data, name)
        for teacher in config.model.get('teachers', {}).values():
            path = teacher.model.config.replace('mmvkd::', '')
            assert teacher.recipe == f'python tools/train.py mmvkd::{path}', name
            if '://' not in teacher.checkpoint:
                assert teacher.checkpoint == parsed(data, path).work_dir, name
            else:
                assert teacher.checkpoint in config.checkpoints.values(), name


@every_word
def test_no_teacher_is_left_beside_the_model(data: str) -> None:
    for name in DISTILL:
        config = parsed(data, name)
        holds = [key for key in config if 'RecognizerTeacher' in str(config[key])]
        assert set(holds) <= {'model'}, name


@every_word
def test_a_flip_swaps_the_labels_of_left_and_right(data: str) -> None:
    expected = dict(
        motions=motions.FLIP_LABEL_MAP,
        sthv1=zoo_flip('trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py'),
        sthv2=zoo_flip('tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py'),
        # swiping, sliding two fingers, turning the hand (anti-)clockwise
        jester={0: 1, 1: 0, 6: 7, 7: 6, 14: 15, 15: 14},
    ).get(data)
    for name in ('students/tsm_r18.py', 'students/slowfast_r18.py'):
        pipeline = datasets(parsed(data, name))['train'].pipeline
        (flip,) = [step for step in pipeline if step.type == 'Flip']
        assert (flip.get('flip_label_map') or None) == expected
    if expected:
        assert all(expected[expected[label]] == label for label in expected)
        assert max(expected) < CLASSES[data]


def zoo_flip(name: str) -> dict[int, int]:
    pipeline = zoo(name).train_dataloader.dataset.pipeline
    (flip,) = [step for step in pipeline if step.type == 'Flip']
    return flip.flip_label_map


OF_MMACTION = {
    ('kinetics400', 'students/tsm_r18.py'): (
        'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py',
        ('train', 'val', 'test'),
    ),
    ('sthv2', 'students/tsm_r18.py'): (
        'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py',
        ('train', 'val', 'test'),
    ),
    ('sthv1', 'students/tsm_r18.py'): (
        'trn/trn_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv1-rgb.py',
        ('train', 'val', 'test'),
    ),
    ('kinetics400', 'students/slowfast_r18.py'): (
        'slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py',
        ('val', 'test'),  # it trains on crops of any shape
    ),
}


@pytest.mark.parametrize(('data', 'name'), OF_MMACTION, indirect=['data'])
def test_clips_are_sampled_and_cropped_as_in_mmaction2(data: str, name: str) -> None:
    theirs, stages = OF_MMACTION[data, name]
    config, other = parsed(data, name), zoo(theirs)
    for stage in stages:
        own = datasets(config)[stage]
        dataset = other[f'{stage}_dataloader'].dataset
        assert steps(own.pipeline) == steps(dataset.pipeline)
        for key in ('type', 'ann_file', 'filename_tmpl'):
            assert own.get(key) == dataset.get(key)
        # a child of theirs may keep the folder of its base beside its own
        assert own.data_prefix.items() <= dataset.data_prefix.items()


@pytest.mark.parametrize('data', ['ucf101'], indirect=True)
def test_ucf101_lies_where_mmaction2_looks_for_it(data: str) -> None:
    other = zoo('c3d/c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb.py')
    for stage, dataset in datasets(parsed(data, 'students/tsm_r18.py')).items():
        theirs = other[f'{stage}_dataloader'].dataset
        assert dataset.ann_file == theirs.ann_file
        assert dataset.data_prefix == theirs.data_prefix


@pytest.mark.parametrize('data', ['kinetics400', 'sthv2'], indirect=True)
def test_schedules_are_those_of_mmaction2s_tsm(data: str) -> None:
    config = parsed(data, 'students/tsm_r18.py')
    other = zoo(f'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_{data}-rgb.py')
    own = plain(config.optim_wrapper)
    assert own.pop('constructor') == 'mmvkd.DistillOptimWrapperConstructor'
    own['constructor'] = own.pop('student_constructor')
    assert own == plain(other.optim_wrapper)
    for key in ('param_scheduler', 'auto_scale_lr'):
        assert plain(config[key]) == plain(other[key])
    assert config.train_cfg.max_epochs == other.train_cfg.max_epochs
    assert config.train_dataloader.batch_size == other.train_dataloader.batch_size


@pytest.mark.parametrize('data', ['sthv1', 'sthv2', 'jester'], indirect=True)
def test_something_something_and_jester_decay_more(data: str) -> None:
    optimizer = parsed(data, 'students/tsm_r18.py').optim_wrapper.optimizer
    assert optimizer.weight_decay == 0.0005


ZOO_TEACHERS = {
    'tsm_r50': 'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_{}-rgb',
    'tsn_r50': 'tsn_imagenet-pretrained-r50_8xb32-1x1x8-{}-rgb',
    'slowfast_r50': 'slowfast_r50_8xb8-4x16x1-256e_{}-rgb',
    'swin_tiny': 'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_{}-rgb',
}


def zoo_name(teacher: str, word: str) -> str:
    epochs = {'kinetics400': '100e', 'sthv2': '50e'}[word]
    filled = f'{epochs}_{word}' if teacher == 'tsn_r50' else word
    return ZOO_TEACHERS[teacher].format(filled)


@pytest.mark.parametrize(
    ('data', 'teacher'),
    [
        *(('kinetics400', teacher) for teacher in ZOO_TEACHERS),
        *(('sthv2', teacher) for teacher in ('tsm_r50', 'tsn_r50')),
    ],
    indirect=['data'],
)
def test_a_teacher_of_the_zoo_is_the_model_that_mmaction2_publishes(
    data: str, teacher: str
) -> None:
    config = parsed(data, f'teachers/{teacher}.py')
    name = zoo_name(teacher, data)
    folder = name.partition('_')[0].partition('-')[0]
    metafile = (
        MMACTION / 'configs' / 'recognition' / folder / 'metafile.yml'
    ).read_text()
    weights = [line.split()[-1] for line in metafile.splitlines() if 'Weights:' in line]
    assert config.checkpoints[teacher] in weights
    assert f'/{name}/' in config.checkpoints[teacher]
    other = zoo(f'{folder}/{name}.py')
    assert shapes(MODELS.build(config.model)) == shapes(MODELS.build(other.model))
    assert preprocessing(config) == preprocessing(other)


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def preprocessing(config: Config) -> list[Any]:
    settings = config.model.data_preprocessor
    return [settings[key] for key in ('mean', 'std')] + [settings.get('to_rgb', False)]


@pytest.mark.parametrize('data', ['sthv1', 'hmdb51'], indirect=True)
@pytest.mark.parametrize('name', PLAIN)
def test_every_parameter_is_in_the_optimizer_once(data: str, name: str) -> None:
    config = parsed(data, name)
    model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    optimized = [
        id(p) for group in wrapper.optimizer.param_groups for p in group['params']
    ]
    assert sorted(optimized) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize('data', ['motions', 'ucf101'], indirect=True)
@pytest.mark.parametrize('name', [n for n in PLAIN if n not in SELF_SUPERVISED])
def test_models_start_from_imagenet_where_clips_are_large(data: str, name: str) -> None:
    text = str(parsed(data, name).model.backbone)
    fetches = any(mark in text for mark in ('://', 'Pretrained'))
    # SlowFast starts from nothing in MMAction2, too
    assert fetches is (data != 'motions' and 'slowfast' not in name)


@every_name
def test_the_loss_falls_on_one_repeated_batch(name: str) -> None:
    config = parsed('motions', name)
    student = recognizers('motions', config)['student']
    settings = copy.deepcopy(config.model)
    for teacher in settings.get('teachers', {}).values():
        teacher.checkpoint = 'random'
        if teacher.pop('store', None):
            teacher.type = 'mmvkd.RecognizerTeacher'
    if name in SELF_SUPERVISED + AFTER_COHERENCE:
        del settings.backbone.init_cfg  # there is no pretext run
    torch.manual_seed(0)
    model = MODELS.build(settings)
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    batch = motions_like(student, config.train_dataloader.dataset.get('oversample', 1))
    losses = []
    for _ in range(3):
        # one dropout mask and one hybrid, so that losses compare
        torch.manual_seed(0)
        seed_shared(0)
        losses.append(model.train_step(batch, wrapper)['loss'].item())
    assert max(losses[1:]) < losses[0]


def motions_like(student: dict[str, Any], oversample: int) -> dict[str, Any]:
    """Four clips as the loader would give them, but smaller."""
    volumes = student['data_preprocessor']['format_shape'] == 'NCTHW'
    shape = (1, 3, 32, 32, 32) if volumes else (8 * oversample, 3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        for _ in range(4)
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in range(4)]
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('style', ['name', 'relative', 'absolute'])
def test_a_config_can_be_inherited_by_name_and_by_path(
    style: str, tmp_path: Path
) -> None:
    base = {
        'name': f'mmvkd::{MAIN}',
        'relative': os.path.relpath(ROOT / 'configs' / MAIN, tmp_path),
        'absolute': str(ROOT / 'configs' / MAIN),
    }[style]
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = ['{base}']\n"
        'model = dict(heads=dict(logits_graph=dict(edges="uniform")))\n'
    )
    config, origin = Config.fromfile(child), parsed('motions', MAIN)
    assert config.model.heads.logits_graph.pop('edges') == 'uniform'
    expected = copy.deepcopy(origin)
    del expected.model.heads.logits_graph['edges']
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'custom_hooks'):
        assert plain(config[key]) == plain(expected[key])


TRAINS = """
_base_ = ['{base}']
model = dict(teachers=dict(tsm_r50=dict(checkpoint='random')))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(dataset=dict(ann_file='{train}', data_prefix=dict(video=''))))
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(ann_file='{val}', data_prefix=dict(video='')))
train_cfg = dict(max_epochs=1)
work_dir = '{work_dir}'
"""


def test_mmaction2s_own_script_trains_a_distiller(tmp_path: Path) -> None:
    config = tmp_path / 'child.py'
    config.write_text(
        TRAINS.format(
            base=ROOT / 'configs' / 'distill' / 'kd_tsm_r50_to_r18.py',
            train=write_list(tmp_path, 4, 'train'),
            val=write_list(tmp_path, 2, 'val'),
            work_dir=tmp_path / 'work',
        )
    )
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, str(MMACTION / 'tools' / 'train.py'), str(config)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    saved = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)
    student = build_recognizer('student', 'mmvkd::students/tsm_r18.py')
    assert list(saved['state_dict']) == list(student.state_dict())


def first_error(config: Config, work_dir: Path) -> str:
    """What training ends in."""
    config = copy.deepcopy(config)
    config.work_dir, config.launcher = str(work_dir), 'none'
    config.log_level = 'ERROR'
    with pytest.raises(Exception) as caught:
        launch.build_runner(config).train()
    return str(caught.value)


MAKERS = {
    word: f'prepare it with tools/data/{word} of MMAction2'
    for word in ('sthv1', 'sthv2', 'jester', 'ucf101', 'hmdb51')
}
MAKERS['kinetics400'] = 'prepare it with tools/data/kinetics of MMAction2'
MAKERS['motions'] = 'python tools/data/make_motions.py data/motions'
MAKERS['own'] = 'MMVKD_TRAIN_LIST'


@every_word
def test_a_missing_data_set_ends_in_a_line_that_says_what_makes_it(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = parsed(data, 'students/tsm_r18.py').train_dataloader.dataset
    with pytest.raises(FileNotFoundError) as caught:
        DATASETS.build(copy.deepcopy(dataset))
    message = str(caught.value)
    assert dataset.dataset.ann_file in message
    assert MAKERS[data] in message
    assert '\n' not in message


def test_training_without_a_data_set_ends_in_that_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = first_error(parsed('motions', 'students/tsm_r18.py'), tmp_path)
    assert message == (
        "annotation file 'data/motions/motions_train_list.txt' is missing; "
        'make it with: python tools/data/make_motions.py data/motions'
    )


def test_a_missing_teacher_ends_in_a_line_that_says_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = copy.deepcopy(parsed('motions', 'distill/kd_tsm_r50_to_r18.py'))
    config.train_dataloader.dataset.dataset.ann_file = write_list(tmp_path, 2, 'train')
    config.val_dataloader.dataset.ann_file = write_list(tmp_path, 2, 'val')
    message = first_error(config, tmp_path)
    assert message == (
        "checkpoint 'work_dirs/motions/tsm_r50' of the teacher 'tsm_r50' is missing; "
        'make it with: python tools/train.py mmvkd::teachers/tsm_r50.py'
    )


@pytest.mark.parametrize(
    ('words', 'folder'),
    [
        (dict(MMVKD_SIZE='32'), 'motions_32'),
        (dict(MMVKD_SIZE='48'), 'motions'),
        (dict(MMVKD_DATA='skyline'), 'skyline_motion'),
        (dict(MMVKD_DATA='skyline', MMVKD_SIZE='32'), 'skyline_motion_32'),
        (dict(MMVKD_DATA='skyline', MMVKD_SKYLINE_LABELS='kind'), 'skyline_kind'),
    ],
)
def test_a_teacher_of_another_size_or_other_labels_is_not_taken(
    words: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    teacher, distiller = (
        Config.fromfile(ROOT / 'configs' / path)
        for path in ('teachers/tsm_r50.py', 'distill/kd_tsm_r50_to_r18.py')
    )
    assert teacher.work_dir == f'work_dirs/{folder}/tsm_r50'
    assert distiller.model.teachers.tsm_r50.checkpoint == teacher.work_dir


def test_the_main_job_has_four_self_supervised_teachers_and_both_graphs() -> None:
    model = parsed('motions', MAIN).model
    assert tuple(model.teachers) == TASKS
    kinds = {head.type for head in model.heads.values()}
    assert kinds == {'mmvkd.LogitsGraphHead', 'mmvkd.RepresentationGraphHead'}


@pytest.mark.parametrize('names', ['coherence', 'registration,pace'])
def test_a_word_says_which_teachers_the_main_job_has(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_TEACHERS', names)
    teachers = Config.fromfile(ROOT / 'configs' / MAIN).model.teachers
    assert list(teachers) == names.split(',')
    for name, teacher in teachers.items():
        assert (ROOT / f'configs/teachers/{name}_tsm_r50.py').is_file()
        assert teacher.model.config == f'mmvkd::teachers/{name}_tsm_r50.py'


@pytest.mark.parametrize('task', TASKS)
def test_the_main_job_leads_to_each_command_that_is_to_be_run_before_it(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main = copy.deepcopy(parsed('motions', MAIN))
    for other in set(TASKS) - {task}:
        main.model.teachers[other].checkpoint = 'random'  # as if it were there
    teacher, pretext = (
        parsed('motions', f'{folder}/{task}_tsm_r50.py')
        for folder in ('teachers', 'pretext')
    )
    # without data, the last in the chain is told what makes them
    assert MAKERS['motions'] in first_error(pretext, tmp_path)
    for split in ('train', 'val'):
        target = Path(f'data/motions/motions_{split}_list.txt')
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(write_list(tmp_path, 2, split), target)
    assert first_error(main, tmp_path) == (
        f"checkpoint '{teacher.work_dir}' of the teacher '{task}' is missing; make it "
        f'with: python tools/train.py mmvkd::teachers/{task}_tsm_r50.py'
    )
    assert first_error(teacher, tmp_path) == (
        f"run '{pretext.work_dir}' has no checkpoint; make it with: "
        f'python tools/train.py mmvkd::pretext/{task}_tsm_r50.py'
    )
    if f'pretext/{task}_tsm_r50.py' in AFTER_COHERENCE:
        assert first_error(pretext, tmp_path) == (
            "run 'work_dirs/motions/pretext/coherence_tsm_r50' has no checkpoint; make "
            'it with: python tools/train.py mmvkd::pretext/coherence_tsm_r50.py'
        )


def test_the_main_job_works_with_one_teacher() -> None:
    config = copy.deepcopy(parsed('motions', MAIN))
    config.model.teachers = dict(sorting=config.model.teachers.sorting)
    config.model.teachers.sorting.checkpoint = 'random'
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    student = recognizers('motions', config)['student']
    logs = model.train_step(motions_like(student, 1), wrapper)
    assert {'loss_logits_graph', 'loss_representation_graph'} <= set(logs)
    assert logs['logits_graph_trust_sorting'] == 1
    assert logs['representation_graph_edge_sorting+sorting'] == 1


def test_an_unknown_data_set_ends_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMVKD_DATA', 'kinetics')
    with pytest.raises(
        FileNotFoundError, match=r"kinetics\.py'.*exist; there are .*kin"
    ):
        launch.load_config('mmvkd::students/tsm_r18.py')


def test_own_videos_need_two_lists_and_a_class_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dict(
        DATA='own',
        NUM_CLASSES='4',
        TRAIN_LIST=write_list(tmp_path, 4, 'train'),
        VAL_LIST=write_list(tmp_path, 2, 'val'),
        VIDEOS=str(tmp_path),
        SWAPPED='0:1,2:3',
    )
    for key, value in settings.items():
        monkeypatch.setenv(f'MMVKD_{key}', value)
    config = Config.fromfile(ROOT / 'configs' / 'distill' / 'kd_tsm_r50_to_r18.py')
    config.model.student.backbone = dict(pretrained=None, pretrained2d=False)
    config.model.teachers.tsm_r50.checkpoint = 'random'
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for dataset in datasets(config).values():
        make_small(dataset.pipeline)
    (flip,) = [s for s in datasets(config)['train'].pipeline if s.type == 'Flip']
    assert flip.flip_label_map == {0: 1, 1: 0, 2: 3, 3: 2}
    config.train_cfg.max_epochs = 1
    config.work_dir = str(tmp_path / 'work')
    runner = launch.build_runner(config)
    runner.train()
    assert runner.model.student.cls_head.num_classes == 4
    assert runner.iter == 2
    assert 'val/acc/top1' in runner.message_hub.log_scalars
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize('swapped', ['0-1', '0:4', 'a:b', '0:1,2'])
def test_wrong_swaps_are_told(swapped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in dict(DATA='own', NUM_CLASSES='4', SWAPPED=swapped).items():
        monkeypatch.setenv(f'MMVKD_{key}', value)
    with pytest.raises(ValueError, match=f"MMVKD_SWAPPED='{swapped}' .* below 4"):
        launch.load_config('mmvkd::students/tsm_r18.py')


def make_small(pipeline: Any) -> None:
    """Keep every step of a pipeline, but end at 48 pixels a side."""
    for step in pipeline:
        if step.type == 'Resize' and step.scale == (224, 224):
            step.scale = (48, 48)
        elif step.type in ('CenterCrop', 'TenCrop', 'ThreeCrop'):
            step.crop_size = 48


@every_word
def test_a_pretext_config_asks_its_task_of_the_same_clips_in_every_loader(
    data: str,
) -> None:
    teacher = datasets(parsed(data, 'teachers/tsm_r50.py'))
    tasks = set()
    for name in PRETEXT:
        config = parsed(data, name)
        for stage in ('train', 'val', 'test'):
            dataset = config[f'{stage}_dataloader'].dataset
            assert dataset.type == 'mmvkd.PretextDataset', name
            assert dataset.dataset.ann_file == teacher[stage].ann_file
            # the ten crops of a test would be ten questions
            like = teacher['train' if stage == 'train' else 'val']
            assert dataset.dataset.pipeline == like.pipeline
            task = OUR_TRANSFORMS.build(dataset.task)
            assert task.num_classes == config.model.cls_head.num_classes, name
            tasks.add(type(task))
        assert config.work_dir == f'work_dirs/{data}/pretext/{Path(name).stem}'
        assert 'torchvision://' not in str(config.model)
    assert len(tasks) == len(PRETEXT) == 5


def after(pretext: Config) -> dict[str, str]:
    """How a backbone goes on from a pretext run."""
    name = Path(pretext.work_dir).name
    recipe = f'python tools/train.py mmvkd::pretext/{name}.py'
    return dict(
        type='Pretrained',
        checkpoint=f'run://{pretext.work_dir}?recipe={recipe}',
        prefix='backbone',
    )


@every_word
def test_tasks_that_ask_where_a_part_stands_go_on_from_coherence(data: str) -> None:
    coherence = parsed(data, 'pretext/coherence_tsm_r50.py')
    for name in PRETEXT:
        start = parsed(data, name).model.backbone.get('init_cfg')
        assert (start == after(coherence)) is (name in AFTER_COHERENCE), name


@every_word
def test_a_self_supervised_teacher_starts_from_its_pretext_run_alone(data: str) -> None:
    for name in SELF_SUPERVISED:
        backbone = parsed(data, name).model.backbone
        pretext = parsed(data, name.replace('teachers/', 'pretext/'))
        assert backbone.init_cfg == after(pretext)
        assert backbone.pretrained is None
        assert backbone.frozen_stages == -1


@pytest.mark.parametrize('name', SELF_SUPERVISED)
def test_one_word_makes_a_linear_probe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_PROBE', 'linear')
    config = Config.fromfile(ROOT / 'configs' / name)
    assert config.model.backbone.frozen_stages == 4
    assert config.find_unused_parameters
    monkeypatch.setenv('MMVKD_PROBE', 'linaer')
    with pytest.raises(FileNotFoundError, match=r'linaer\.py.*does not exist'):
        launch.load_config(str(ROOT / 'configs' / name))


def test_a_linear_probe_learns_in_its_last_layer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('MMVKD_PROBE', 'linear')
    config = Config.fromfile(ROOT / 'configs' / SELF_SUPERVISED[0])
    del config.model.backbone.init_cfg
    config.model.backbone.depth, config.model.cls_head.in_channels = 18, 512
    model = MODELS.build(config.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.train()
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        model.train_step(motions_like(config.model, 1), wrapper)
    changed = {
        k for k, v in model.state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed == {'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'}


@pytest.mark.parametrize('folder', [*FOLDERS, 'pretext'])
def test_the_readme_of_a_folder_names_its_configs(folder: str) -> None:
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    for name in NAMES + PRETEXT:
        if name.startswith(f'{folder}/'):
            assert f'`{Path(name).name}`' in text
