"""Videos read by PyAV or torchcodec, or decoded only once by decord."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import shutil
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio

from mmvkd.errors import UnfitPipelineError
from mmvkd.files import replacing
from mmvkd.registry import TRANSFORMS

KEPT = Path('work_dirs/frames')
MOST_KEPT = 2**31 - 9  # bytes of frames that a record can hold


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Opens a video in place of ``DecordInit``: by another package, or once by decord.

    Frames are counted in display order by looking at every packet, because what a
    container says of itself may be wrong or absent. So index ``k`` is the same frame as
    for decord. Tried on H.264 and VP8 with 8 bits, in 4:2:0, 4:2:2 and 4:4:4, limited
    and full range, BT.601 and BT.709, rotated by 90 and 180 degrees: decord 0.6, PyAV
    18.1 and torchcodec 0.17 give the same bytes (tests allow one gray level, for other
    builds of FFmpeg). MPEG-4, whose transform may be rounded in more than one way,
    differs by up to 2 levels; video of 10 bits by up to 35, by 1.5 on average.

    PyAV and torchcodec read three kinds of files differently from decord: frames that
    an edit list hides are left out (decord counts them, and repeats the last one
    instead); AVI, which stores no times, is decoded from its start by PyAV (decord may
    seek to a wrong frame, torchcodec may miss the last one); a file that was cut short
    is unreadable for decord and PyAV, while torchcodec reads what there is.

    With ``'kept'``, decord decodes each video once: all of its frames are written under
    ``work_dirs/frames``, named by a hash of the file's bytes, and read from there from
    then on, by any number of processes. This is for many epochs of small clips: 32
    frames of 64×64 take 0.4 MB. Where they cannot be written, a warning says so, and
    videos are decoded each time. (All frames are read in order, so AVI needs no seek.)

    Required key: ``filename``. Added keys: ``video_reader``, ``total_frames``,
    ``avg_fps``.

    Args:
        backend: ``'pyav'``, ``'torchcodec'`` or ``'kept'``.
        num_threads: Threads of the decoder.
        backend_args: For :func:`mmengine.fileio.get`, if files lie in other storage.

    Raises:
        ValueError: if there is no such backend.
        ImportError: if its package is absent or cannot work.
        UnfitPipelineError: for a video too long to be kept, with 2 GiB of frames.
    """

    def __init__(
        self,
        backend: str,
        num_threads: int = 1,
        backend_args: Optional[dict[str, Any]] = None,
    ) -> None:
        if backend not in _READERS:
            raise ValueError(
                f"decoder '{backend}' is none of decord, {', '.join(_READERS)}"
            )
        require(backend)
        self.backend = backend
        self.num_threads = num_threads
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Open ``filename``; one without extension is an mp4, as for ``DecordInit``."""
        name = results['filename']
        if not os.path.splitext(name)[1]:
            name += '.mp4'
        data = fileio.get(name, backend_args=self.backend_args)
        reader = _READERS[self.backend](data, self.num_threads)
        results['video_reader'] = reader
        results['total_frames'] = reader.total_frames
        results['avg_fps'] = reader.avg_fps
        return results


@TRANSFORMS.register_module()
class DecodeVideo(BaseTransform):
    """Decodes the sampled frames of a video from :class:`OpenVideo`.

    Required keys: ``video_reader``, ``frame_inds``. Added keys: ``imgs``, RGB frames
    (H, W, 3) of uint8, ``original_shape``, ``img_shape``. Modified keys:
    ``video_reader``, None afterwards, and ``frame_inds``, (N,).
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``imgs``, and release the video."""
        inds = np.asarray(results['frame_inds']).reshape(-1)
        clip = results['video_reader'].frames(inds.tolist())
        results['video_reader'] = None
        results['frame_inds'] = inds
        results['imgs'] = list(clip)
        results['original_shape'] = results['img_shape'] = clip.shape[1:3]
        return results


def require(backend: str) -> None:
    """Check that a decoder's package is there and works.

    Args:
        backend: ``'decord'``, ``'pyav'``, ``'torchcodec'`` or ``'kept'``.

    Raises:
        ImportError: in one line that says what to install.
    """
    package = {'pyav': 'av', 'kept': 'decord'}.get(backend, backend)
    try:
        module = importlib.import_module(package)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            problem = f'the package is not installed: pip install {package}'
        else:
            problem = f'{type(error).__name__}: {error}'.splitlines()[0]
    else:
        # torchcodec can be imported without FFmpeg, for pictures
        if getattr(module, 'ffmpeg_major_version', '') is not None:
            return
        problem = 'torchcodec finds no FFmpeg libraries: install them for your system'
    raise ImportError(f"decoder '{backend}' cannot be used: {problem}", name=package)


class _PyAVReader:
    """A video in memory, read by PyAV.

    Args:
        data: Bytes of the file.
        num_threads: Threads of the decoder.

    Raises:
        ValueError: if it holds no video or is cut short.
    """

    def __init__(self, data: bytes, num_threads: int) -> None:
        self._data, self._num_threads = data, num_threads
        self._open()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.avg_fps = float(rate or 0)
        times: list[Any] = []
        keys: list[Any] = []
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                raise ValueError('the file is damaged or cut short')
            if not packet.size:
                continue  # the end
            if packet.is_keyframe:
                keys.append((packet.pts, packet.dts))
            if not packet.is_discard:
                times.append(packet.pts)
        self.total_frames = len(times)
        # AVI stores no times; those that FFmpeg makes up can point to a wrong frame
        self._timed = (
            self._container.format.name != 'avi'
            and None not in chain(times, *keys)
            and len(set(times)) == len(times)
        )
        if self._timed:
            self._times, self._keys = sorted(times), sorted(keys)

    def frames(self, inds: Sequence[int]) -> np.ndarray:
        """The frames of ``inds`` in their order, (N, H, W, 3) of uint8.

        Raises:
            IndexError: if the video has no such frame.
            ValueError: if one cannot be decoded.
        """
        if max(inds) >= self.total_frames:
            raise IndexError(f'no frame {max(inds)} in {self.total_frames} frames')
        wanted = sorted(set(inds))
        images = self._sought(wanted) if self._timed else self._passed(wanted)
        found = dict(zip(wanted, images))
        for index in wanted:
            if index not in found:
                raise ValueError(f'frame {index} cannot be decoded')
        return np.stack([found[index] for index in inds])

    def _sought(self, wanted: list[int]) -> Iterator[np.ndarray]:
        """Frames by their times, each decoded from the key frame before it."""
        starts = [time for time, _ in self._keys]
        current = None
        frames: Iterator[Any] = iter(())
        for index in wanted:
            time = self._times[index]
            key = max(bisect_right(starts, time) - 1, 0)
            if key != current:
                current, frames = key, self._from(key)
            frame = next((f for f in frames if f.pts >= time), None)
            if frame is None or frame.pts != time:
                return
            yield _rgb(frame)

    def _from(self, key: int) -> Iterator[Any]:
        """Decoded frames from a key frame on, or from an earlier one."""
        for time, decoding_time in reversed(self._keys[: key + 1]):
            self._container.seek(decoding_time, stream=self._stream)
            frames = self._container.decode(self._stream)
            first = next(frames, None)
            # not every container can seek to the packet that it is asked for
            if first is not None and first.pts <= time:
                break
        return chain(() if first is None else (first,), frames)

    def _passed(self, wanted: list[int]) -> Iterator[np.ndarray]:
        """Frames by their number, decoded from the first one on."""
        self._open()
        left = iter(wanted)
        index = next(left, None)
        for number, frame in enumerate(self._container.decode(self._stream)):
            if number == index:
                yield _rgb(frame)
                index = next(left, None)
                if index is None:
                    return

    def _open(self) -> None:
        import av

        self._container: Any = av.open(io.BytesIO(self._data))
        self._stream: Any = self._container.streams.best('video')
        if self._stream is None:
            raise ValueError('no video in it')
        self._stream.codec_context.thread_count = self._num_threads


def _rgb(frame: Any) -> np.ndarray:
    # without both spaces, older PyAV takes all colors for those of standard definition
    spaces = dict(src_colorspace=frame.colorspace, dst_colorspace='DEFAULT')
    image = frame.to_ndarray(format='rgb24', **spaces)
    # undo how the camera was held
    return np.rot90(image, frame.rotation // 90)


class _TorchCodecReader:
    """A video in memory, read by torchcodec.

    Args:
        data: Bytes of the file.
        num_threads: Threads of the decoder.
    """

    def __init__(self, data: bytes, num_threads: int) -> None:
        from torchcodec.decoders import VideoDecoder

        self._decoder = VideoDecoder(
            data,
            dimension_order='NHWC',
            num_ffmpeg_threads=num_threads,
            device='cpu',
            seek_mode='exact',
        )
        self.total_frames = len(self._decoder)
        self.avg_fps = float(self._decoder.metadata.average_fps or 0)

    def frames(self, inds: Sequence[int]) -> np.ndarray:
        """The frames of ``inds`` in their order, (N, H, W, 3) of uint8.

        Raises:
            IndexError: if the video has no such frame.
            RuntimeError: if one cannot be decoded.
        """
        return self._decoder.get_frames_at(indices=list(inds)).data.numpy()


class _KeptReader:
    """A video whose frames come from decord once, and from a file from then on.

    Args:
        data: Bytes of the file.
        num_threads: Threads of the decoder.
    """

    def __init__(self, data: bytes, num_threads: int) -> None:
        import decord

        made_by = decord.__version__.encode()
        name = hashlib.blake2b(data, digest_size=16, key=made_by).hexdigest()
        path = KEPT / name[:2] / f'{name}.npy'
        try:
            (kept,) = np.load(path, mmap_mode='r')
        except (OSError, EOFError, ValueError):
            # not there, or damaged
            kept = _keep(data, num_threads, path)
        self._frames = kept['frames']
        self.total_frames = len(self._frames)
        self.avg_fps = float(kept['fps'])

    def frames(self, inds: Sequence[int]) -> np.ndarray:
        """The frames of ``inds`` in their order, (N, H, W, 3) of uint8.

        Raises:
            IndexError: if the video has no such frame.
        """
        return self._frames[list(inds)]


def _keep(data: bytes, num_threads: int, path: Path) -> Any:
    """Decode a video, write its frames if possible, and return its record."""
    import decord

    video = decord.VideoReader(io.BytesIO(data), num_threads=num_threads)
    size = len(video) * video[0].asnumpy().nbytes
    if size > MOST_KEPT:
        raise UnfitPipelineError(
            f"decoder 'kept' is for small clips, and {len(video)} frames of one take "
            f'{size / 2**20:,.0f} MiB; set MMVKD_DECODER=decord'
        )
    frames = video.get_batch(range(len(video))).asnumpy()
    kind = np.dtype([('fps', 'f8'), ('frames', 'u1', frames.shape)])
    kept = np.array([(video.get_avg_fps(), frames)], kind)
    try:
        _check_room(size)
        with replacing(path) as temporary, open(temporary, 'wb') as file:
            np.save(file, kept)
    except OSError as error:
        # not the clip's fault, so it must not be replaced by another
        warnings.warn(f"frames cannot be kept in '{KEPT}': {error}", stacklevel=2)
    return kept[0]


def _check_room(size: int) -> None:
    """Leave room on the disk, to which checkpoints are written, too.

    Raises:
        OSError: if less than a twentieth of the disk would remain.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(KEPT)
    if disk.free - size < disk.total / 20:
        raise OSError(f'{disk.free / 2**30:,.1f} GiB are left on this disk')


_READERS: dict[str, Any] = dict(
    pyav=_PyAVReader, torchcodec=_TorchCodecReader, kept=_KeptReader
)
