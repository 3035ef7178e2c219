"""Re-encoded videos: smaller, same frames in number, many key frames."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from videos import write_list, write_video

from mmvkd.datasets.prepare import UNREADABLE, prepare_videos
from mmvkd.datasets.reencoding import Settings

SMALL = Settings(short_side=24, gop=4)


def told(path: Path) -> tuple[int, int, int, int]:
    """Width, height, frames and key frames of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    keys = sum(frame.key_frame for frame in frames)
    return frames[0].width, frames[0].height, len(frames), keys


def test_a_folder_is_made_small_with_many_key_frames(tmp_path: Path) -> None:
    source, target = tmp_path / 'a', tmp_path / 'b'
    (source / 'sub').mkdir(parents=True)
    write_video(source / 'sub' / 'clip.mp4')
    write_video(source / 'tiny.mp4', size=16)
    report = prepare_videos(source, target, settings=SMALL)
    assert sorted(report.written) == ['sub/clip.mp4', 'tiny.mp4']
    assert told(target / 'sub' / 'clip.mp4') == (24, 24, 12, 3)
    # never larger than it was
    assert told(target / 'tiny.mp4')[:3] == (16, 16, 12)


def test_a_second_call_keeps_what_is_there_unless_settings_change(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / 'a', tmp_path / 'b'
    source.mkdir()
    for number in range(2):
        write_video(source / f'{number}.mp4', seed=number)
    prepare_videos(source, target, settings=SMALL)
    (target / '1.mp4').unlink()
    again = prepare_videos(source, target, settings=SMALL)
    assert (again.written, again.kept) == (['1.mp4'], ['0.mp4'])
    other = prepare_videos(source, target, settings=Settings(short_side=16))
    assert len(other.written) == 2


def test_an_unreadable_video_is_reported_and_the_others_are_made(
    tmp_path: Path,
) -> None:
    annotations = write_list(tmp_path / 'a', 4, broken=(2,))
    lines = Path(annotations).read_text().replace(f'{tmp_path}/a/', '')
    Path(annotations).write_text(lines)
    target = tmp_path / 'b'
    report = prepare_videos(tmp_path / 'a', target, [annotations], SMALL, workers=2)
    assert len(report.written) == 3
    assert list(report.unreadable) == ['train/clip02.mp4']
    assert 'train/clip02.mp4' in (target / UNREADABLE).read_text()
    # a data set does not shrink unnoticed
    assert (target / 'train.txt').read_text() == lines


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(short_side=25), 'short_side=25'),
        (dict(gop=0), 'gop=0'),
        (dict(crf=52), 'crf'),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


@pytest.mark.parametrize('line', ['clip 0.mp4 3', 'clip0.mp4,3', 'clip0.mp4 3,'])
def test_a_line_that_is_no_file_with_labels_is_refused(
    tmp_path: Path, line: str
) -> None:
    write_video(tmp_path / 'clip0.mp4')
    (tmp_path / 'train.txt').write_text(f'clip0.mp4\nclip0.mp4 -1 3\n{line}\n')
    with pytest.raises(ValueError, match=f"'{line}' of list"):
        prepare_videos(tmp_path, tmp_path.parent / 'new', [tmp_path / 'train.txt'])


def test_the_videos_are_not_written_over(tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.mp4')
    with pytest.raises(ValueError, match='expected another folder'):
        prepare_videos(tmp_path, tmp_path / 'new')
