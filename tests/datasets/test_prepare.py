"""Re-encoded videos: smaller, same frames in number, many key frames."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import av
import decord
import numpy as np
import pytest
from videos import encode, write_list, write_video

from mmvkd.datasets.prepare import UNREADABLE, prepare_videos
from mmvkd.datasets.reencoding import Settings, prepare_video
from mmvkd.datasets.widths import UNREADABLE_WIDTHS

ROOT = Path(__file__).parents[2]
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
    # decord cannot read a width of 24, nor of 16
    assert told(target / 'sub' / 'clip.mp4') == (22, 24, 12, 3)
    # never larger than it was
    assert told(target / 'tiny.mp4')[:3] == (14, 16, 12)
    for name in ('sub/clip.mp4', 'tiny.mp4'):
        assert decord.VideoReader(str(target / name))[:].shape[0] == 12


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


def test_the_unreadable_videos_of_another_list_stay_named(tmp_path: Path) -> None:
    source, target = tmp_path / 'a', tmp_path / 'b'
    lists = [
        write_list(source, 2, name, broken=(1,))
        if name == 'train'
        else write_list(source, 2, name)
        for name in ('train', 'val')
    ]
    for path in lists:
        prepare_videos(source, target, [path], SMALL)
    assert (target / UNREADABLE).read_text().startswith('train/clip01.mp4: ')
    write_video(source / 'train' / 'clip01.mp4')
    prepare_videos(source, target, lists[:1], SMALL)
    assert not (target / UNREADABLE).exists()


@pytest.mark.parametrize('turned', [90, 180, 270])
def test_a_picture_that_is_shown_rotated_is_rotated(
    tmp_path: Path, turned: int
) -> None:
    source, target = tmp_path / 'a.mp4', tmp_path / 'b.mp4'
    encode(source, frames=2, size=(64, 40), turned=turned)
    assert prepare_video(source, target, Settings(short_side=40, crf=1))
    old, new = (decord.VideoReader(str(p))[1].asnumpy() for p in (source, target))
    assert old.shape == new.shape == ((64, 40, 3) if turned % 180 else (40, 64, 3))
    apart = np.abs(old.astype(int) - new).mean()
    assert apart < np.abs(old.astype(int) - new[::-1, ::-1]).mean() / 4


def test_a_width_that_decord_cannot_read_is_avoided_after_turning(
    tmp_path: Path,
) -> None:
    encode(tmp_path / 'a.mp4', frames=2, size=(96, 72), turned=90)
    prepare_video(tmp_path / 'a.mp4', tmp_path / 'b.mp4', Settings(short_side=72))
    frame = decord.VideoReader(str(tmp_path / 'b.mp4'))[0].asnumpy()
    assert frame.shape == (96, 70, 3)


def test_only_these_widths_cannot_be_read(tmp_path: Path) -> None:
    for width in range(16, 132, 2):
        path = tmp_path / f'{width}.mp4'
        encode(path, frames=1, size=(width, 64))
        video = decord.VideoReader(str(path))
        if width in UNREADABLE_WIDTHS:
            with pytest.raises(decord.DECORDError, match='size must exactly match'):
                video[:]
        else:
            assert video[:].shape == (1, 64, width, 3)


def test_a_video_of_another_origin_is_not_replaced(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / 'clip.mp4')
    before = (tmp_path / 'b' / 'clip.mp4').read_bytes()
    with pytest.raises(FileExistsError, match='was not made by this tool'):
        prepare_videos(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b' / 'clip.mp4').read_bytes() == before


def test_links_that_lead_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    source = tmp_path / 'a'
    (source / 'sub').mkdir(parents=True)
    (tmp_path / 'more').mkdir()
    write_video(source / 'sub' / 'clip.mp4')
    write_video(tmp_path / 'more' / 'other.mp4')
    (source / 'sub' / 'up').symlink_to(source)
    (source / 'self').symlink_to('.')
    (source / 'linked').symlink_to(tmp_path / 'more')
    (tmp_path / 'more' / 'back').symlink_to(source / 'sub')
    report = prepare_videos(source, tmp_path / 'b', settings=SMALL)
    assert sorted(report.written) == [
        'linked/back/clip.mp4',
        'linked/other.mp4',
        'sub/clip.mp4',
    ]


def test_lists_that_would_be_written_to_one_file_are_named(tmp_path: Path) -> None:
    lists = [tmp_path / name / 'train.txt' for name in 'ab']
    for path in lists:
        path.parent.mkdir()
        path.write_text('clip.mp4 0\n')
    told = f"lists '{lists[0]}' and '{lists[1]}' would both .*; rename one of them"
    with pytest.raises(ValueError, match=told):
        prepare_videos(tmp_path, tmp_path.parent / 'new', lists)


def test_the_tool_works_on_the_cores_that_it_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {3, 5, 7}, raising=False)
    tool = runpy.run_path(str(ROOT / 'tools' / 'data' / 'prepare_videos.py'))
    assert tool['parse_args'](['from', 'to']).workers == 3


def test_a_list_of_another_encoding_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.mp4')
    path = tmp_path / 'train.txt'
    path.write_bytes('clip.mp4 0\n'.encode('utf-8-sig'))
    report = prepare_videos(tmp_path, tmp_path.parent / 'new', [path], SMALL)
    assert report.written == ['clip.mp4']
    path.write_bytes('clip\xe9.mp4 0\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r"train\.txt' is not UTF-8"):
        prepare_videos(tmp_path, tmp_path.parent / 'new', [path], SMALL)


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
    (tmp_path.parent / 'link').symlink_to(tmp_path)
    for target in (tmp_path / 'new', tmp_path.parent / 'link' / 'new'):
        with pytest.raises(ValueError, match='expected another folder'):
            prepare_videos(tmp_path, target)
