"""Files of Motions hold what was rendered, and are reused or refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from motion_toys import SMALL

from mmvkd.datasets.motions import (
    CLASSES,
    SPLITS,
    Difficulty,
    clip_label,
    render_clip,
    write_motions,
)


def decode(path: Path) -> np.ndarray:
    decord = pytest.importorskip('decord')
    reader = decord.VideoReader(str(path), num_threads=1)
    return reader.get_batch(range(len(reader))).asnumpy()


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'motions'
    counts = {'train': 28, 'val': 14, 'test': 15}
    return write_motions(root, counts, size=64, num_frames=12, seed=3)


def test_wrong_arguments_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='label 14'):
        render_clip(14, 'train', 0)
    with pytest.raises(ValueError, match="'tests'"):
        render_clip(0, 'tests', 0)
    with pytest.raises(ValueError, match='size=8'):
        render_clip(0, 'train', 0, size=8)
    with pytest.raises(ValueError, match='num_frames=1'):
        render_clip(0, 'train', 0, num_frames=1)
    with pytest.raises(ValueError, match='size=33'):
        write_motions(tmp_path, size=33)
    assert not list(tmp_path.iterdir())


def test_lists_are_balanced_and_name_existing_files(written: Path) -> None:
    assert (written / 'classes.txt').read_text().split() == list(CLASSES)
    for split, count in (('train', 28), ('val', 14), ('test', 15)):
        lines = (written / f'motions_{split}_list.txt').read_text().splitlines()
        pairs = [line.split() for line in lines]
        files = {p.name for p in (written / f'videos_{split}').iterdir()}
        assert {name for name, _ in pairs} == files and len(pairs) == count
        per_class = Counter(int(k) for _, k in pairs)
        assert len(per_class) == 14
        assert max(per_class.values()) - min(per_class.values()) <= 1


def test_files_decode_to_what_was_rendered(written: Path) -> None:
    for split in SPLITS:
        for index in (0, 7):
            clip = render_clip(
                clip_label(split, index, 3), split, index, 3, size=64, num_frames=12
            )
            found = decode(written / f'videos_{split}' / f'{index:06d}.mp4')
            assert found.shape == clip.shape
            error = np.mean((found.astype(float) - clip) ** 2)
            assert 10 * np.log10(255**2 / error) > 25  # dB; strangers give about 10


def test_workers_write_the_same_frames_as_one_process(
    written: Path, tmp_path: Path
) -> None:
    counts = {'train': 28, 'val': 14, 'test': 15}
    again = write_motions(
        tmp_path / 'again',
        counts,
        size=64,
        num_frames=12,
        seed=3,
        num_workers=2,
    )
    for file in sorted(written.rglob('*.mp4'))[::5]:
        assert np.array_equal(decode(file), decode(again / file.relative_to(written)))


def test_complete_files_are_reused_and_broken_ones_rewritten(tmp_path: Path) -> None:
    def write() -> None:
        write_motions(tmp_path, {'train': 4}, **SMALL)

    write()
    videos = tmp_path / 'videos_train'
    kept, broken, lost = (videos / f'{i:06d}.mp4' for i in (0, 1, 2))
    before, broken_frames = kept.stat().st_mtime_ns, decode(broken)
    broken.write_bytes(broken.read_bytes()[:100])
    (videos / '.part-000002.mp4').write_bytes(b'left by a killed run')
    lost.unlink()
    (tmp_path / 'motions_train_list.txt').unlink()
    write()
    assert kept.stat().st_mtime_ns == before
    assert np.array_equal(decode(broken), broken_frames)
    assert len(decode(lost)) == 8
    assert sorted(p.name for p in videos.iterdir()) == [
        f'{i:06d}.mp4' for i in range(4)
    ]
    assert (tmp_path / 'motions_train_list.txt').exists()
    assert not list(tmp_path.glob('.*'))


def test_other_settings_are_refused_in_one_line(tmp_path: Path) -> None:
    write_motions(tmp_path, {'train': 1}, **SMALL)
    meta = json.loads((tmp_path / 'meta.json').read_text())
    assert meta['size'] == 32 and meta['difficulty']['distractors'] == 2
    with pytest.raises(FileExistsError) as error:
        write_motions(
            tmp_path,
            {'train': 1},
            **SMALL,
            seed=1,
            difficulty=Difficulty(noise=9.0),
        )
    message = str(error.value)
    assert 'seed was 0, now 1' in message
    assert 'difficulty.noise was 3.0, now 9.0' in message
    assert 'size' not in message.replace('target_size', '') and '\n' not in message


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').write_text('precious')
    with pytest.raises(FileExistsError, match=r'no meta\.json'):
        write_motions(tmp_path, {'train': 1}, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_an_encoder_that_writes_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *args: object) -> None:
            pass

        def write(self, frame: np.ndarray) -> None:
            pass

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, 'VideoWriter', Mute)
    with pytest.raises(OSError, match='could not be written'):
        write_motions(tmp_path / 'm', {'train': 1}, **SMALL)
    assert not (tmp_path / 'm' / 'motions_train_list.txt').exists()
