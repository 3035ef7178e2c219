"""Students are compared on the frames that they train on."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from recognizer_toys import tiny_tsn
from toys import tiny_tsm
from videos import dataset, write_list

from mmvkd.evaluation.compared import compare


def test_a_student_of_any_length_sees_the_sampled_frames_alone(tmp_path: Path) -> None:
    clips = write_list(tmp_path, 2)
    teacher = dict(
        type='mmvkd.RecognizerTeacher', model=tiny_tsm(), checkpoint='random'
    )
    model = dict(
        type='mmvkd.VideoDistiller', student=tiny_tsn(), teachers=dict(t=teacher)
    )
    held_out = dict(dataset=dataset(clips, augment=False, test_mode=True))

    def distances(oversample: int) -> dict:
        train = dict(dataset=dataset(clips, oversample=oversample))
        config = Config(
            dict(model=model, train_dataloader=train, test_dataloader=held_out)
        )
        found = compare(config, [])
        assert found.clips == 2
        return found.mean()

    assert distances(oversample=2) == distances(oversample=1)
