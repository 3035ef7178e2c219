"""What is missing or wrong ends in a line that says what makes it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mmaction.registry import DATASETS
from mmengine.config import Config
from published import (
    MAKERS,
    ROOT,
    every_word,
    first_error,
    parsed,
)
from videos import write_list

from mmvkd.engine import launch


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
        f'make it with: python {ROOT}/tools/data/make_motions.py data/motions'
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
        f'make it with: python {ROOT}/tools/train.py mmvkd::teachers/tsm_r50.py'
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


def test_an_unknown_data_set_ends_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMVKD_DATA', 'kinetics')
    with pytest.raises(
        FileNotFoundError, match=r"kinetics\.py'.*exist; there are .*kin"
    ):
        launch.load_config('mmvkd::students/tsm_r18.py')


@pytest.mark.parametrize('swapped', ['0-1', '0:4', 'a:b', '0:1,2', '0:1,1:2', '3:3'])
def test_wrong_swaps_are_told(swapped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in dict(DATA='own', NUM_CLASSES='4', SWAPPED=swapped).items():
        monkeypatch.setenv(f'MMVKD_{key}', value)
    with pytest.raises(ValueError, match=f"MMVKD_SWAPPED='{swapped}' .* below 4"):
        launch.load_config('mmvkd::students/tsm_r18.py')
