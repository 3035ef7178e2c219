"""DataCheckHook."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric
from mmengine.evaluator import DumpResults
from mmengine.runner import BaseLoop
from videos import dataset, write_list

from mmvkd.datasets.seeded import UnreadableClipError
from mmvkd.engine.hooks import DataCheckHook
from mmvkd.registry import DATASETS


class Clips:
    """A data set that only knows its list."""

    ann_file = 'list.txt'

    def __init__(self, infos: list[dict], **opening: Any) -> None:
        self.infos = infos
        transforms = [SimpleNamespace(**opening)]
        self.pipeline = SimpleNamespace(transforms=transforms)

    def __len__(self) -> int:
        return len(self.infos)

    def get_data_info(self, index: int) -> dict:
        return self.infos[index]


class Loop(BaseLoop):
    """A loop that is never run."""

    def __init__(self, dataset: Any, metrics: list) -> None:
        self.dataloader = SimpleNamespace(dataset=dataset)
        self.evaluator = SimpleNamespace(metrics=metrics)

    def run(self) -> None:
        raise NotImplementedError


def check(
    stage: str, dataset: Any, student: bool = False, metrics: tuple = (AccMetric(),)
) -> list[str]:
    """Run the hook where only this stage has data, for a model of 4 classes.

    What it warns of is returned.
    """
    told: list[str] = []
    model = SimpleNamespace(cls_head=SimpleNamespace(num_classes=4))
    loops = dict(_train_loop={}, _val_loop=None, _test_loop=None)
    loops[f'_{stage}_loop'] = Loop(dataset, list(metrics))
    if student:
        model = SimpleNamespace(student=model)
    logger = SimpleNamespace(warning=told.append)
    DataCheckHook().before_run(SimpleNamespace(model=model, logger=logger, **loops))
    return told


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """A file that is there."""
    (tmp_path / 'clip.mp4').touch()
    return str(tmp_path / 'clip.mp4')


@pytest.mark.parametrize('student', [False, True])
@pytest.mark.parametrize('label', [4, -2])
def test_a_label_that_is_no_class_is_refused(
    clip: str, label: int, student: bool
) -> None:
    infos = [dict(filename=clip, label=3), dict(filename=clip, label=label)]
    with pytest.raises(ValueError, match=rf"label {label} of clip .* in 'list.txt'"):
        check('train', Clips(infos), student)


@pytest.mark.parametrize('prefix', ['videos/', ''])
def test_an_empty_line_is_no_clip(clip: str, prefix: str) -> None:
    # as MMAction2 reads it
    clips = Clips([dict(filename=clip, label=0), dict(filename=prefix, label=-1)])
    with pytest.raises(ValueError, match=r"'list\.txt' has an empty line, number 2"):
        check('train', clips, student=True)


def test_unlabeled_clips_and_label_vectors_pass(clip: str) -> None:
    clips = Clips([dict(filename=clip, label=label) for label in (-1, [5])])
    check('train', clips, student=True)


@pytest.mark.parametrize(
    ('stage', 'student'), [('train', False), ('val', True), ('test', False)]
)
def test_a_clip_without_a_label_is_refused_where_it_cannot_serve(
    clip: str, stage: str, student: bool
) -> None:
    with pytest.raises(ValueError, match='is for the training of a distiller'):
        check(stage, Clips([dict(filename=clip, label=-1)]), student)


def test_a_test_without_scores_needs_no_label(clip: str, tmp_path: Path) -> None:
    dumped = DumpResults(str(tmp_path / 'scores.pkl'))
    clips = Clips([dict(filename=clip, label=-1)])
    check('test', clips, metrics=(dumped,))
    with pytest.raises(ValueError, match='or a test without scores: --dump'):
        check('test', clips, metrics=(dumped, AccMetric()))


@pytest.mark.parametrize('label', ['4', '-1', '0 7'])
def test_each_of_several_labels_must_be_a_class(tmp_path: Path, label: str) -> None:
    path = write_list(tmp_path, 2)
    first, second = Path(path).read_text().splitlines()
    config = dataset(path, test_mode=False)
    config['dataset'].update(multi_class=True, num_classes=4)
    Path(path).write_text(f'{first} 3\n{second.split()[0]}\n')
    check('train', DATASETS.build(config), student=True)
    Path(path).write_text(f'{first} 3\n{second.split()[0]} {label}\n')
    told = rf'label {label[-2:].strip()} of clip .* is not a class.*num_classes=4$'
    with pytest.raises(ValueError, match=told):
        check('train', DATASETS.build(config), student=True)


def test_another_mark_between_name_and_label_is_guessed(tmp_path: Path) -> None:
    clips = Clips([dict(filename=str(tmp_path / 'a.mp4\t1'), label=-1)])
    with pytest.raises(FileNotFoundError, match='check data_prefix and delimiter of'):
        check('train', clips, student=True)


def test_training_clips_without_a_label_are_counted(clip: str) -> None:
    infos = [dict(filename=clip, label=label) for label in (-1, 2, -1)]
    assert check('train', Clips(infos), True) == ['2 of 3 training clips have no label']
    assert check('train', Clips(infos[1:2]), True) == []


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_a_clip_of_a_score_that_cannot_be_read_is_named(clip: str, stage: str) -> None:
    clips = Clips([dict(filename=clip, label=0)])

    def pipeline(info: dict) -> None:
        raise RuntimeError('Error reading 0 bytes...')

    pipeline.transforms = clips.pipeline.transforms
    clips.pipeline = pipeline
    check(stage, clips)
    told = r"clip\.mp4' of 'list\.txt' cannot be read: Error reading 0 bytes.*score"
    with pytest.raises(UnreadableClipError, match=told):
        clips.pipeline(clips.get_data_info(0))


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_one_missing_clip_is_too_many_for_a_score(clip: str, stage: str) -> None:
    infos = [dict(filename=clip, label=0), dict(filename='gone.mp4', label=0)]
    with pytest.raises(FileNotFoundError, match=r"1 of 2 .* as 'gone\.mp4'"):
        check(stage, Clips(infos))


def test_training_goes_on_without_some_clips_but_not_without_any(clip: str) -> None:
    gone = dict(filename='gone.mp4', label=0)
    check('train', Clips([dict(filename=clip, label=0), gone]))
    with pytest.raises(FileNotFoundError, match='2 of 2'):
        check('train', Clips([gone, gone]))


def test_names_without_extension_and_frame_folders_are_found(
    clip: str, tmp_path: Path
) -> None:
    infos = [
        dict(filename=str(tmp_path / 'clip'), label=0),
        dict(frame_dir=str(tmp_path), label=0),
    ]
    check('test', Clips(infos))


@pytest.mark.parametrize(
    'opening', [dict(io_backend='petrel'), dict(backend_args=dict(backend='petrel'))]
)
def test_files_of_another_storage_are_not_looked_for(opening: dict) -> None:
    check('test', Clips([dict(filename='bucket/clip.mp4', label=0)], **opening))


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'list\.txt' of the val_dataloader lists no"):
        check('val', Clips([]))


def test_the_name_of_a_skeleton_is_no_file() -> None:
    check('train', Clips([dict(frame_dir='S001C001', label=0, keypoint=None)]))


def test_several_labels_must_be_of_as_many_classes(clip: str) -> None:
    clips = Clips([dict(filename=clip, label=torch.ones(5))])
    clips.multi_class, clips.num_classes = True, 4
    check('train', clips)
    clips.num_classes = 5
    with pytest.raises(ValueError, match='has num_classes=5; the head of the model ha'):
        check('train', clips)


def test_a_transform_with_a_generator_of_its_own_is_told(tmp_path: Path) -> None:
    class Shaky:
        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)

        def __call__(self, results: dict) -> dict:
            return results

    data = DATASETS.build(dataset(write_list(tmp_path, 2)))
    assert check('train', data) == []
    nested = SimpleNamespace(transforms=[Shaky()])
    data.dataset.pipeline.transforms.append(nested)
    (told,) = check('train', data)
    assert told.startswith('Shaky draws from a generator of its own')
