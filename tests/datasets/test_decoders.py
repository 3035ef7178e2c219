"""Every decoder gives the frames that decord gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS as MMACTION_TRANSFORMS
from videos import write_video

from mmvkd.datasets.transforms import DecodeVideo, OpenVideo

INDICES = [11, 0, 5, 5, 7]


def decord(path: str, indices: list[int]) -> list[np.ndarray]:
    """Frames by MMAction2's transforms."""
    results: dict[str, Any] = dict(filename=path)
    for name in ('DecordInit', 'DecordDecode'):
        results['frame_inds'] = np.array(indices)
        results = MMACTION_TRANSFORMS.build(dict(type=name))(results)
    return results['imgs']


def ours(backend: str, path: str, indices: list[int]) -> list[np.ndarray]:
    """Frames by ours."""
    results = OpenVideo(backend)(dict(filename=path))
    results['frame_inds'] = np.array(indices)
    return DecodeVideo()(results)['imgs']


@pytest.fixture(params=['pyav', 'torchcodec'])
def backend(request: pytest.FixtureRequest) -> str:
    """A decoder that is installed."""
    try:
        OpenVideo(request.param)
    except ImportError as error:
        pytest.skip(str(error))
    return request.param


def test_the_frames_are_those_of_decord(backend: str, tmp_path: Path) -> None:
    path = str(tmp_path / 'clip.mp4')
    write_video(Path(path), seed=3)
    results = OpenVideo(backend)(dict(filename=path))
    assert results['total_frames'] == 12
    assert np.array_equal(ours(backend, path, INDICES), decord(path, INDICES))


def test_the_frames_of_real_clips_are_those_of_decord(backend: str) -> None:
    folder = Path(__file__).parents[3] / 'shared' / 'data' / 'skyline' / 'videos'
    if not folder.is_dir():
        pytest.skip(f'{folder} is absent')
    for path in sorted(folder.iterdir())[::400]:
        wanted = [31, 3, 12, 13, 25]
        assert np.array_equal(
            ours(backend, str(path), wanted), decord(str(path), wanted)
        )


def test_a_frame_that_is_not_there_is_an_error(backend: str, tmp_path: Path) -> None:
    path = tmp_path / 'clip.mp4'
    write_video(path)
    with pytest.raises((IndexError, RuntimeError)):
        ours(backend, str(path), [12])


def test_a_corrupt_file_is_an_error_of_reading(backend: str, tmp_path: Path) -> None:
    from mmvkd.datasets.seeded import _is_of_reading

    path = tmp_path / 'clip.mp4'
    path.write_bytes(b'no video at all' * 20)
    with pytest.raises(Exception) as caught:
        OpenVideo(backend)(dict(filename=str(path)))
    assert _is_of_reading(caught.value)


def test_an_unknown_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="'gif' is none of decord, pyav, torchcodec"):
        OpenVideo('gif')


@pytest.mark.parametrize(('name', 'package'), [('pyav', 'av'), ('torchcodec',) * 2])
def test_an_absent_package_is_named(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent:
        """Finds nothing of that name."""

        def find_spec(self, wanted: str, *args: Any) -> None:
            if wanted == package:
                raise ModuleNotFoundError(f'no {package}', name=package)

    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, 'meta_path', [Absent(), *sys.meta_path])
    with pytest.raises(ImportError, match=f'pip install {package}'):
        OpenVideo(name)
