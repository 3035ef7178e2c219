"""Clip views: the batch's clip as one model expects it.

The loader gives one clip per sample, cropped and flipped once. The distiller keeps it
without normalization, and each model sees it through its own view: its number of
frames, size, memory layout, channel order and normalization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Optional

import torch
import torch.nn.functional as F
from mmaction.models.recognizers import BaseRecognizer, Recognizer3D
from torch import Tensor

Clip = Tensor
"""A batch of clips (N, V, C, T, H, W) as loaded, V clips per sample (1 in training)."""


def to_clip(inputs: Tensor, format_shape: str) -> Clip:
    """Loaded inputs as (N, V, C, T, H, W).

    Args:
        inputs: (N, T, C, H, W) for ``NCHW``; (N, V, C, T, H, W) for ``NCTHW``.
        format_shape: The ``input_format`` that the recognizer takes.

    Raises:
        ValueError: if the pipeline's ``FormatShape`` gives the other format.
    """
    if inputs.ndim != (5 if format_shape == 'NCHW' else 6):
        other = 'NCTHW' if format_shape == 'NCHW' else 'NCHW'
        raise ValueError(
            f'the model takes {format_shape} and the pipeline gives {other}: take the '
            'pipelines of the student in all dataloaders'
        )
    if format_shape == 'NCHW':
        return inputs.transpose(1, 2).unsqueeze(1)
    return inputs


@dataclass(frozen=True)
class ClipView:
    """What one model expects of a clip.

    Views are hashable, so that those with equal settings share one tensor.

    Args:
        format_shape: ``NCHW`` for 2-D recognizers, ``NCTHW`` for 3-D ones.
        num_frames: Frames T the model takes; None keeps all that were loaded. They are
            taken at even steps, starting with the first.
        size: (height, width) in pixels; None keeps the loaded size. Bilinear, with
            antialiasing.
        mean: Per channel, in the 0..255 scale of the loaded frames; empty for none.
        std: Likewise.
        to_rgb: Reverse the channel order, as ``ActionDataPreprocessor`` does.
    """

    format_shape: str = 'NCHW'
    num_frames: Optional[int] = None
    size: Optional[tuple[int, int]] = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    to_rgb: bool = False

    @classmethod
    def of(
        cls,
        recognizer: BaseRecognizer,
        overrides: Optional[Mapping[str, Any]] = None,
        frames: Optional[int] = None,
    ) -> ClipView:
        """The view that ``recognizer`` asks for by its own configuration.

        Args:
            recognizer: A 2-D or 3-D recognizer.
            overrides: Settings given in the config, which take precedence.
            frames: Of the clips that a 3-D recognizer was made for, for one that does
                not say how many it takes.

        Raises:
            ValueError: for a setting that does not exist, a size or a number of frames
                that cannot be.
        """
        preprocessor = recognizer.data_preprocessor
        is_3d = isinstance(recognizer, Recognizer3D)
        is_3d = is_3d or preprocessor.format_shape != 'NCHW'
        segments = None if is_3d else _segments_of(recognizer)
        settings: dict[str, Any] = dict(
            format_shape='NCTHW' if is_3d else 'NCHW',
            num_frames=_frames_of(recognizer) or frames if is_3d else segments,
            mean=_flat(getattr(preprocessor, 'mean', None)),
            std=_flat(getattr(preprocessor, 'std', None)),
            to_rgb=preprocessor.to_rgb,
        )
        known = [field.name for field in fields(cls)]
        for key, value in (overrides or {}).items():
            if key not in known:
                raise ValueError(f"a view has no '{key}'; it has {', '.join(known)}")
            settings[key] = tuple(value) if isinstance(value, (list, tuple)) else value
        if isinstance(settings.get('size'), int):
            settings['size'] = (settings['size'],) * 2
        _check(settings.get('size'), settings['num_frames'])
        if segments not in (None, settings['num_frames']):
            raise ValueError(
                f'a view takes {settings["num_frames"]} frames but its recognizer is '
                f'built for {segments} (num_segments): leave num_frames out'
            )
        return cls(**settings)

    def on(self, clip: Clip) -> ClipView:
        """The same view without settings that change nothing on ``clip``.

        Views that differ only in wording become equal, such as one of 8 frames and one
        of all loaded frames if 8 were loaded.
        """
        same_size = self.size == tuple(clip.shape[-2:])
        neutral = not any(self.mean) and all(value == 1 for value in self.std)
        return replace(
            self,
            num_frames=None if self.num_frames == clip.shape[3] else self.num_frames,
            size=None if same_size else self.size,
            mean=() if neutral else self.mean,
            std=() if neutral else self.std,
        )

    def __call__(self, clip: Clip) -> Tensor:
        """The model's input, normalized float.

        A float clip that the view does not change is returned in its own memory.

        Args:
            clip: (N, V, C, T, H, W), any dtype, 0..255.

        Returns:
            (N, V·T, C, H, W) for ``NCHW``; (N, V, C, T, H, W) for ``NCTHW``.

        Raises:
            ValueError: if the clip has fewer frames than the view takes, or channels
                of another modality.
        """
        view = self.on(clip)
        clip = view._resized(view._frames(clip))
        if view.to_rgb:
            clip = clip.flip(2)
        if view.format_shape == 'NCHW':
            # [N, V·T, C, H, W]
            clip = clip.transpose(2, 3).flatten(1, 2)
        return view._normalized(clip).contiguous()

    def _frames(self, clip: Clip) -> Clip:
        loaded, wanted = clip.shape[3], self.num_frames
        if wanted is None:
            return clip
        if wanted > loaded:
            raise ValueError(
                f'a view takes {wanted} frames but the clip has {loaded}; for a '
                f'teacher, load more with oversample={-(-wanted // loaded)} in the '
                'mmvkd.SeededDataset of the train_dataloader; for a student, sample '
                'more in the pipelines of all dataloaders'
            )
        if loaded % wanted == 0:
            return clip[:, :, :, :: loaded // wanted]
        index = torch.arange(wanted, device=clip.device) * loaded // wanted
        return clip.index_select(3, index)

    def _resized(self, clip: Clip) -> Clip:
        if self.size is None:
            return clip
        # [N·V·T, C, H, W]
        frames = clip.transpose(2, 3).flatten(0, 2).float()
        frames = F.interpolate(frames, self.size, mode='bilinear', antialias=True)
        n, v, _, t = clip.shape[:4]
        return frames.unflatten(0, (n, v, t)).transpose(2, 3)

    def _normalized(self, clip: Tensor) -> Tensor:
        if not self.mean:
            return clip.float()
        shape = (-1, 1, 1) if self.format_shape == 'NCHW' else (-1, 1, 1, 1)
        channels = clip.shape[-len(shape)]
        if len(self.mean) not in (1, channels):
            raise ValueError(
                f'the clip has {channels} channels, and mean={self.mean} of a view '
                f'{len(self.mean)}; teacher and student take frames of one modality, '
                'and pipelines need FormatShape'
            )
        # the same two operations as in ActionDataPreprocessor: equal to the last digit
        mean = _constant(self.mean, clip.device).view(shape)
        std = _constant(self.std, clip.device).view(shape)
        return (clip - mean).div_(std)


class Views(dict[ClipView, Tensor]):
    """A step's clip as each model sees it.

    ``views[view]`` is made when first asked for, and then kept; views that amount to
    the same share one tensor.

    Args:
        clip: (N, V, C, T, H, W), any dtype, 0..255.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip

    def __missing__(self, view: ClipView) -> Tensor:
        short = view.on(self.clip)
        made = self[short] if short != view else view(self.clip)
        self[view] = made
        return made


def _segments_of(recognizer: BaseRecognizer) -> Optional[int]:
    """Frames per clip that a 2-D recognizer is built for, None if any will do.

    Backbone and head may differ, as in MMAction2's MobileOne-TSM of 16 frames: then the
    one that takes fewer sees several groups of frames in a clip.
    """
    parts = (recognizer.backbone, getattr(recognizer, 'cls_head', None))
    segments = [getattr(part, 'num_segments', None) for part in parts]
    return max((int(count) for count in segments if count is not None), default=None)


def _frames_of(recognizer: BaseRecognizer) -> Optional[int]:
    """Frames per clip that a 3-D recognizer says it takes, None if it says nothing."""
    frames = getattr(recognizer.backbone, 'num_frames', None)
    return None if frames is None else int(frames)


def _check(size: Any, num_frames: Any) -> None:
    """Refuse what is no size or number of frames."""
    if size is not None and not (
        isinstance(size, tuple) and len(size) == 2 and all(map(_counts, size))
    ):
        raise ValueError(
            f'size of a view is a number of pixels or (height, width), got {size!r}'
        )
    if num_frames is not None and not _counts(num_frames):
        raise ValueError(
            f'num_frames of a view is 1 or more, or None for all, got {num_frames!r}'
        )


def _counts(value: Any) -> bool:
    return isinstance(value, int) and value > 0


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A tensor kept on the device: copying it in each step would make the host wait."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _flat(buffer: Optional[Tensor]) -> tuple[float, ...]:
    return () if buffer is None else tuple(buffer.flatten().tolist())
