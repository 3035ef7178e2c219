"""Every decoder gives the frames that decord gives."""

from __future__ import annotations

import sys
import types
from fractions import Fraction
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS as MMACTION_TRANSFORMS
from videos import dataset, encode, number, pipeline, remux, write_list, write_video

from mmvkd.datasets.motions import write_motions
from mmvkd.datasets.transforms import DecodeVideo, OpenVideo
from mmvkd.errors import UnfitPipelineError
from mmvkd.registry import DATASETS
from mmvkd.seeding import SampleKey

SKYLINE = Path(__file__).parents[3] / 'shared' / 'data' / 'skyline' / 'videos'
FULL, BT709 = 2, 1  # as FFmpeg counts color ranges and color spaces


def decord(path: Path, indices: Optional[list[int]] = None) -> dict[str, Any]:
    """What MMAction2's transforms make of a video, all frames by default."""
    results = MMACTION_TRANSFORMS.build(dict(type='DecordInit'))(
        dict(filename=str(path))
    )
    results['frame_inds'] = np.array(indices or range(results['total_frames']))
    return MMACTION_TRANSFORMS.build(dict(type='DecordDecode'))(results)


def ours(
    backend: str, path: Path, indices: Optional[list[int]] = None
) -> dict[str, Any]:
    """What ours make of it."""
    results = OpenVideo(backend)(dict(filename=str(path)))
    results['frame_inds'] = np.array(indices or range(results['total_frames']))
    return DecodeVideo()(results)


def assert_same(here: dict[str, Any], there: dict[str, Any], levels: int = 1) -> None:
    """Same keys, same frames: to a gray level, for FFmpeg's builds may differ."""
    assert set(here) == set(there)
    for key in ('total_frames', 'avg_fps', 'original_shape', 'img_shape'):
        assert here[key] == there[key], key
    assert here['frame_inds'].tolist() == there['frame_inds'].tolist()
    assert here['video_reader'] is there['video_reader'] is None
    a, b = np.stack(here['imgs']), np.stack(there['imgs'])
    assert a.dtype == b.dtype == np.uint8
    assert np.abs(a.astype(int) - b).max() <= levels


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where frames are kept."""
    monkeypatch.setattr('mmvkd.datasets.transforms.decoders.KEPT', tmp_path / 'kept')
    return tmp_path / 'kept'


@pytest.fixture(params=['pyav', 'torchcodec', 'kept'])
def backend(request: pytest.FixtureRequest) -> str:
    """A decoder that is installed."""
    try:
        OpenVideo(request.param)
    except ImportError as error:
        pytest.skip(str(error))
    return request.param


KINDS: dict[str, dict[str, Any]] = {
    'one key frame.mp4': {},
    'short gop.mp4': dict(gop=6),
    'very short gop.mp4': dict(gop=2),
    'no times of decoding.mkv': dict(gop=12),
    'odd shape.mp4': dict(size=(62, 50)),
    'full range.mp4': dict(color_range=FULL, colorspace=5),
    'high definition.mp4': dict(colorspace=BT709, color_range=1),
    'all colors.mp4': dict(pix_fmt='yuv444p'),
    'of 2001.mp4': dict(codec='mpeg4', gop=12),
    'of 2001.avi': dict(codec='mpeg4', gop=12),
    # decord cannot turn every width
    'turned.mp4': dict(turned=90, size=(128, 64)),
    'upside down.mp4': dict(turned=180),
}


@pytest.mark.parametrize('name', KINDS)
def test_every_frame_is_decords(name: str, backend: str, tmp_path: Path) -> None:
    try:
        encode(tmp_path / name, **KINDS[name])
    except AttributeError as error:
        pytest.skip(f'this PyAV cannot write it: {error}')
    here = ours(backend, tmp_path / name)
    assert_same(here, decord(tmp_path / name), levels=4 if 'of 2001' in name else 1)
    if 'turned' not in KINDS[name]:
        assert [number(image) for image in here['imgs']] == list(range(24))


@pytest.mark.parametrize('gop', [2, 7, 250])
def test_frames_come_in_the_order_that_was_asked_for(
    gop: int, backend: str, tmp_path: Path
) -> None:
    encode(tmp_path / 'clip.mp4', gop=gop)
    indices = [23, 3, 3, 20, 0, 8, 7, 21]
    here = ours(backend, tmp_path / 'clip.mp4', indices)
    assert_same(here, decord(tmp_path / 'clip.mp4', indices))
    assert [number(image) for image in here['imgs']] == indices
    # what changes one of two equal frames must not change the other
    here['imgs'][1][:] = 0
    assert here['imgs'][2].any()


def test_clips_of_motions_are_the_same(backend: str, tmp_path: Path) -> None:
    counts = dict(train=3, val=0, test=0)
    root = write_motions(tmp_path / 'm', counts, 32, 16)
    for path in sorted(root.glob('videos_train/*.mp4')):
        assert_same(ours(backend, path), decord(path), levels=4)  # MPEG-4


@pytest.mark.skipif(not SKYLINE.is_dir(), reason=f'no clips in {SKYLINE}')
def test_real_clips_are_the_same(backend: str) -> None:
    for path in sorted(SKYLINE.iterdir())[::200]:
        indices = [31, 3, 12, 13, 25]
        assert_same(ours(backend, path, indices), decord(path, indices))


def test_a_name_without_extension_means_mp4_as_for_decord(
    backend: str, tmp_path: Path
) -> None:
    encode(tmp_path / 'clip.mp4')
    assert_same(ours(backend, tmp_path / 'clip'), decord(tmp_path / 'clip'))


@pytest.mark.parametrize('name', ['clip.avi', 'clip.h264'])
def test_pyav_numbers_frames_of_files_without_times(name: str, tmp_path: Path) -> None:
    codec = 'mpeg4' if name.endswith('avi') else 'libx264'
    encode(tmp_path / name, codec=codec, gop=6, max_b_frames=2)
    indices = [20, 1, 13]
    images = ours('pyav', tmp_path / name, indices)['imgs']
    assert [number(image) for image in images] == indices


def test_frames_that_an_edit_list_hides_are_not_there(
    backend: str, tmp_path: Path
) -> None:
    if backend == 'kept':
        pytest.skip('read by decord, which counts them')
    encode(tmp_path / 'whole.mp4', gop=8)
    remux(tmp_path / 'whole.mp4', tmp_path / 'cut.mp4', first=5)
    images = ours(backend, tmp_path / 'cut.mp4')['imgs']
    assert [number(image) for image in images] == list(range(5, 24))
    images = ours(backend, tmp_path / 'cut.mp4', [12, 1])['imgs']
    assert [number(image) for image in images] == [17, 6]


def test_a_frame_that_is_not_there_is_an_error(backend: str, tmp_path: Path) -> None:
    write_video(tmp_path / 'clip.mp4')
    with pytest.raises((IndexError, RuntimeError)):
        ours(backend, tmp_path / 'clip.mp4', [12])


def test_a_seeded_sample_is_the_same_by_every_decoder(
    backend: str, tmp_path: Path
) -> None:
    path = write_list(tmp_path, 3)
    here, there = (
        DATASETS.build(dataset(path, oversample=2, pipeline=pipeline(decoder=decoder)))
        for decoder in (backend, 'Decord')
    )
    for index in range(3):
        key = SampleKey(index, epoch=2, seed=3)
        assert here[key]['inputs'].shape == (8, 3, 32, 32)
        assert torch.equal(here[key]['inputs'], there[key]['inputs'])


@pytest.mark.parametrize('kind', ['rubbish', 'empty', 'missing', 'cut', 'hole'])
@pytest.mark.parametrize('decoder', ['Decord', 'pyav', 'torchcodec', 'kept'])
def test_a_broken_clip_is_replaced_whatever_decodes_it(
    decoder: str, kind: str, tmp_path: Path
) -> None:
    if decoder != 'Decord':
        try:
            OpenVideo(decoder)
        except ImportError as error:
            pytest.skip(str(error))
    path = write_list(tmp_path, 4)
    clip = tmp_path / 'train' / 'clip01.mp4'
    encode(tmp_path / 'whole.mp4')
    # its index comes first, so that a part of it can be read
    remux(tmp_path / 'whole.mp4', clip, movflags='+faststart')
    whole = clip.read_bytes()
    half = len(whole) // 2
    contents = dict(
        rubbish=b'no video at all' * 20,
        empty=b'',
        missing=b'',
        cut=whole[:half],
        hole=whole[:half] + bytes(len(whole) - half),
    )
    clip.write_bytes(contents[kind])
    if kind == 'missing':
        clip.unlink()
    steps = pipeline(augment=False, frames=8, decoder=decoder)
    data = DATASETS.build(dataset(path, pipeline=steps))
    sample = data[SampleKey(1, 1, 1)]['data_samples']
    skipped = sample.metainfo['skipped'][0]
    assert 'clip01.mp4' in skipped
    assert '\n' not in skipped
    assert sample.sample_id != 1


def test_kept_frames_are_read_without_a_decoder(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path / 'clip.mp4')
    there = decord(tmp_path / 'clip.mp4')
    assert_same(ours('kept', tmp_path / 'clip.mp4'), there, levels=0)
    monkeypatch.setattr('decord.VideoReader', None)  # what would decode it
    here = ours('kept', tmp_path / 'clip.mp4')
    assert_same(here, there, levels=0)
    # what a transform does to them stays with it
    here['imgs'][0][:] = 0
    assert_same(ours('kept', tmp_path / 'clip.mp4'), there, levels=0)
    assert len(list(kept.rglob('*.npy'))) == 1


def test_frames_that_cannot_be_written_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path / 'clip.mp4')
    monkeypatch.setattr(
        'mmvkd.datasets.transforms.decoders.KEPT', tmp_path / 'clip.mp4' / 'kept'
    )
    with pytest.warns(UserWarning, match='cannot be kept in'):
        here = ours('kept', tmp_path / 'clip.mp4')
    assert_same(here, decord(tmp_path / 'clip.mp4'), levels=0)


def test_a_video_too_long_to_be_kept_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(tmp_path / 'clip.mp4')
    monkeypatch.setattr('mmvkd.datasets.transforms.decoders.MOST_KEPT', 1000)
    with pytest.raises(UnfitPipelineError, match='for small clips, and 24 frames'):
        ours('kept', tmp_path / 'clip.mp4')


@pytest.mark.parametrize('size', [0, 1000])
def test_damaged_frames_are_made_again(size: int, kept: Path, tmp_path: Path) -> None:
    encode(tmp_path / 'clip.mp4')
    ours('kept', tmp_path / 'clip.mp4')
    (file,) = kept.rglob('*.npy')
    whole = file.read_bytes()
    file.write_bytes(whole[:size])
    assert_same(ours('kept', tmp_path / 'clip.mp4'), decord(tmp_path / 'clip.mp4'))
    assert file.read_bytes() == whole


def test_another_video_of_the_same_name_is_not_the_kept_one(tmp_path: Path) -> None:
    encode(tmp_path / 'clip.mp4')
    ours('kept', tmp_path / 'clip.mp4')
    encode(tmp_path / 'clip.mp4', size=(62, 50))
    assert_same(ours('kept', tmp_path / 'clip.mp4'), decord(tmp_path / 'clip.mp4'))


def test_an_unknown_decoder_is_refused() -> None:
    known = 'decord, pyav, torchcodec, kept'
    with pytest.raises(ValueError, match=f"'gif' is none of {known}"):
        OpenVideo('gif')


class Absent:
    """Finds nothing of one name."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, wanted: str, *args: Any) -> None:
        if wanted == self.package:
            raise ModuleNotFoundError(f'no {wanted}', name=wanted)


@pytest.mark.parametrize(
    ('decoder', 'package'),
    [('Decord', 'decord'), ('pyav', 'av'), ('torchcodec', 'torchcodec')],
)
def test_an_absent_package_is_named_when_the_data_set_is_built(
    decoder: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_list(tmp_path, 1)
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Absent(package), *sys.meta_path])
    message = f"^decoder '{decoder.lower()}' .* not installed: pip install {package}$"
    with pytest.raises(ImportError, match=message):
        DATASETS.build(dataset(path, pipeline=pipeline(decoder=decoder)))


def test_torchcodec_without_ffmpeg_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType('torchcodec')
    module.ffmpeg_major_version = None
    monkeypatch.setitem(sys.modules, 'torchcodec', module)
    with pytest.raises(ImportError, match='torchcodec finds no FFmpeg libraries'):
        OpenVideo('torchcodec')


class VideoDecoder:
    """torchcodec's, as its documentation has it, by PyAV."""

    def __init__(
        self,
        source: bytes,
        *,
        stream_index: Optional[int] = None,
        dimension_order: str = 'NCHW',
        num_ffmpeg_threads: int = 1,
        device: str = 'cpu',
        seek_mode: str = 'exact',
    ) -> None:
        import io

        import av

        assert isinstance(source, bytes)
        assert (device, seek_mode, num_ffmpeg_threads) == ('cpu', 'exact', 2)
        with av.open(io.BytesIO(source)) as container:
            rate: Fraction = container.streams.video[0].average_rate
            images = [
                frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)
            ]
        order = (0, 1, 2, 3) if dimension_order == 'NHWC' else (0, 3, 1, 2)
        self.frames = torch.from_numpy(np.stack(images)).permute(order)
        self.metadata = types.SimpleNamespace(average_fps=float(rate))

    def __len__(self) -> int:
        return len(self.frames)

    def get_frames_at(self, indices: list[int]) -> types.SimpleNamespace:
        return types.SimpleNamespace(data=self.frames[indices])


def test_torchcodec_is_called_as_it_is_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, decoders = (types.ModuleType(f'torchcodec{n}') for n in ('', '.decoders'))
    decoders.VideoDecoder = VideoDecoder
    monkeypatch.setitem(sys.modules, 'torchcodec', module)
    monkeypatch.setitem(sys.modules, 'torchcodec.decoders', decoders)
    encode(tmp_path / 'clip.mp4')
    indices = [5, 20, 5, 0]
    results = OpenVideo('torchcodec', num_threads=2)(
        dict(filename=str(tmp_path / 'clip.mp4'))
    )
    results['frame_inds'] = np.array(indices)
    assert_same(DecodeVideo()(results), decord(tmp_path / 'clip.mp4', indices))
