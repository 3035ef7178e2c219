"""Own videos train by two lists and a class count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from published import (
    ROOT,
    datasets,
)
from videos import write_list

from mmvkd.engine import launch


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


def test_own_videos_are_tested_on_the_validation_list_or_on_one_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('MMVKD_DATA', 'own')
    monkeypatch.setenv('MMVKD_VAL_LIST', 'val.txt')
    for chosen in ('val.txt', 'test.txt'):
        config = Config.fromfile(ROOT / 'configs' / 'students' / 'tsm_r18.py')
        assert config.val_dataloader.dataset.ann_file == 'val.txt'
        assert config.test_dataloader.dataset.ann_file == chosen
        monkeypatch.setenv('MMVKD_TEST_LIST', 'test.txt')


def make_small(pipeline: Any) -> None:
    """Keep every step of a pipeline, but end at 48 pixels a side."""
    for step in pipeline:
        if step.type == 'Resize' and step.scale == (224, 224):
            step.scale = (48, 48)
        elif step.type in ('CenterCrop', 'TenCrop', 'ThreeCrop'):
            step.crop_size = 48
