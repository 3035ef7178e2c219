"""Classes, clips, lists and schedules of the configs are those of their data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.registry import TRANSFORMS
from published import (
    CLASSES,
    DISTILL,
    FOLDERS,
    NAMES,
    PRETEXT,
    ROOT,
    datasets,
    every_word,
    parsed,
    plain,
    recognizers,
    steps,
    zoo,
)
from videos import write_video

from mmvkd.datasets import motions


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
def test_a_video_is_read_as_in_the_test_by_mmactions_own_inference(data: str) -> None:
    for name in NAMES:
        config = parsed(data, name)
        assert config.test_pipeline == config.test_dataloader.dataset.pipeline, name


@pytest.mark.parametrize(
    'name', ['students/tsm_r18.py', 'distill/kd_slowfast_r50_to_r18.py']
)
def test_mmaction_says_what_a_video_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMVKD_SIZE', '32')
    write_video(tmp_path / 'clip.mp4')
    model = init_recognizer(ROOT / 'configs' / name, device='cpu')
    scores = inference_recognizer(model, str(tmp_path / 'clip.mp4')).pred_score
    assert scores.shape == (CLASSES['motions'],)
    assert scores.sum().item() == pytest.approx(1)


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


@pytest.mark.parametrize('folder', [*FOLDERS, 'pretext'])
def test_the_readme_of_a_folder_names_its_configs(folder: str) -> None:
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    names = [name for name in NAMES + PRETEXT if name.startswith(f'{folder}/')]
    assert names
    for name in names:
        assert f'`{Path(name).name}`' in text
