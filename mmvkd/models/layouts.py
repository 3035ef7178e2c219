"""Layouts of what modules return, and the canonical (N, C, T, H, W) of a feature."""

from __future__ import annotations

import math
import re
from typing import Optional

from torch import Tensor

LAYOUTS = ('NTCHW', 'NHWC', 'NTHWC', 'NCTHW', 'NLC', 'LNC', 'N8LC', 'NL8C', 'NC')
"""What a module may return. ``NTCHW``: (N·T, C, H, W), as 2-D recognizers do;
``NHWC``: (N·T, H, W, C); ``NTHWC``: (N, T, H, W, C), as Swin does; ``NCTHW``; ``NC``:
(N, C) or (N·T, C) vectors.

Tokens: ``NLC``: (N, L, C) or (N·T, L, C); ``LNC``: (L, N·T, C), as UniFormerV2 does;
``N8LC``: (N, 8·L, C), 8 frames one after the other, as VideoMAE does; ``NL8C``:
(N, L·8, C), the 8 tokens of each place together; any other number may replace the 8.
The tokens of a frame become a square map, without the class token in front if there is
one, or a single row if their number allows no square."""

_NDIM = dict(NTCHW=4, NHWC=4, NTHWC=5, NCTHW=5, NLC=3, LNC=3, NC=2)
_OF_FRAMES = re.compile(r'N(?:(\d+)L|L(\d+))C')


class TapError(ValueError):
    """A tap that cannot give a feature; the message says what would."""


def canonical(output: Tensor, layout: str, batch: int) -> Tensor:
    """``output`` as (N, C, T, H, W); a view wherever strides allow.

    Args:
        output: What a module returned.
        layout: One of :data:`LAYOUTS`.
        batch: N, the number of clips that went into the model.

    Raises:
        TapError: if the shape does not fit the layout.
    """
    clip = _OF_FRAMES.fullmatch(layout)
    if layout not in _NDIM and clip is None:
        raise TapError(f"layout '{layout}' is unknown; known: {', '.join(LAYOUTS)}")
    rows = output.shape[1] if layout == 'LNC' and output.ndim > 1 else output.shape[0]
    by_clip = rows == batch if clip else rows % batch == 0
    if output.ndim != _NDIM.get(layout, 3) or not by_clip:
        raise TapError(
            f"an output of shape {tuple(output.shape)} is not in layout '{layout}' "
            f'for {batch} clips'
        )
    if layout == 'NCTHW':
        return output
    if layout == 'NTHWC':
        return output.permute(0, 4, 1, 2, 3)
    if clip is not None:
        return _as_maps(_by_frame(output, *clip.groups()))
    if layout == 'LNC':
        output = output.transpose(0, 1)
    # [N, T, ...]
    output = output.unflatten(0, (batch, -1))
    if layout == 'NTCHW':
        return output.transpose(1, 2)
    if layout == 'NHWC':
        return output.permute(0, 4, 1, 2, 3)
    if layout == 'NC':
        # [N, C, T, 1, 1]
        return output.transpose(1, 2)[..., None, None]
    return _as_maps(output)


def _by_frame(tokens: Tensor, outer: Optional[str], inner: Optional[str]) -> Tensor:
    """Tokens (N, T·L, C) or (N, L·T, C) of a clip, with T given, as (N, T, L, C).

    Raises:
        TapError: if they do not divide into T equal frames.
    """
    frames = int(outer or inner or 0)
    length = tokens.shape[1]
    if frames < 1 or length % frames > 1 or length < frames:
        raise TapError(
            f'{length} tokens of a clip are not those of {frames} frames, with or '
            'without a class token; say in layout= how many frames there are'
        )
    # with one frame, only a map that is not square shows a class token: see _as_maps
    tokens = tokens[:, length % frames :]
    if outer:
        return tokens.unflatten(1, (frames, -1))
    return tokens.unflatten(1, (-1, frames)).transpose(1, 2)


def _as_maps(tokens: Tensor) -> Tensor:
    """Tokens (N, T, L, C) as (N, C, T, H, W): square maps, without a class token."""
    length = tokens.shape[2]
    if math.isqrt(length) ** 2 != length and math.isqrt(length - 1) ** 2 == length - 1:
        # a class token in front of a square grid
        tokens, length = tokens[:, :, 1:], length - 1
    side = math.isqrt(length)
    grid = (side, side) if side * side == length else (1, length)
    return tokens.permute(0, 3, 1, 2).unflatten(3, grid)


def native(feature: Tensor, layout: str) -> Tensor:
    """The inverse of :func:`canonical`, for a layout that has one.

    Args:
        feature: (N, C, T, H, W).
        layout: One of :data:`LAYOUTS`; tokens are returned without a class token.
    """
    if layout == 'NCTHW':
        return feature
    if layout == 'NTHWC':
        return feature.permute(0, 2, 3, 4, 1)
    if _OF_FRAMES.fullmatch(layout):
        # [N, C, T, L]
        tokens = feature.flatten(3)
        if layout.startswith('NL'):
            tokens = tokens.transpose(2, 3)
        return tokens.flatten(2).transpose(1, 2)
    # [N·T, C, H, W]
    feature = feature.transpose(1, 2).flatten(0, 1)
    if layout == 'NTCHW':
        return feature
    if layout == 'NHWC':
        return feature.permute(0, 2, 3, 1)
    # [N·T, C, H·W]
    feature = feature.flatten(2)
    if layout == 'LNC':
        return feature.permute(2, 0, 1)
    return feature[..., 0] if layout == 'NC' else feature.transpose(1, 2)


def infer_layout(
    name: str,
    output: Tensor,
    batch: int,
    image: tuple[int, int],
    volumes: bool = False,
) -> str:
    """Infer the layout of ``output`` from its shape, or raise an error asking for it.

    Args:
        name: The tap, for the error message.
        output: What the tapped module returned.
        batch: Number of clips N.
        image: (height, width) of the input, preferably of unequal sides: a map that
            keeps their ratio shows which axes are H and W.
        volumes: Whether the model takes a clip as one volume, not frame by frame.

    Raises:
        TapError: if no layout fits, or more than one.
    """
    if output.ndim == 4:
        a, b, c = output.shape[1:]
        behind = _same_ratio((a, b), image) and not _keeps_ratio((b, c), image)
        return 'NHWC' if behind else 'NTCHW'
    if output.ndim == 3:
        rows, length = output.shape[:2]
        if rows % batch and not length % batch:
            return 'LNC'
        if volumes and rows == batch and length > 1:
            raise TapError(
                f"tap '{name}' gives {length} tokens of a whole clip, and their shape "
                "does not tell the frames; say in layout= how many there are: 'N8LC' "
                "for 8 if those of a frame follow each other, 'NL8C' if those of a "
                "place do, 'NLC' if all are of one map"
            )
        return 'NLC'
    if output.ndim == 2:
        return 'NC'
    if output.ndim == 5 and output.shape[0] == batch:
        b, c, d = output.shape[2:]
        # exact ratios first: with odd strides almost any two sides come near one
        for keeps in (_same_ratio, _keeps_ratio):
            last, middle = keeps((c, d), image), keeps((b, c), image)
            if last != middle:
                return 'NCTHW' if last else 'NTHWC'
            if last:
                break
        if (c, d) == (1, 1):
            return 'NCTHW'
    raise TapError(
        f"the layout of tap '{name}' cannot be told from its shape "
        f'{tuple(output.shape)}; say layout=, one of {", ".join(LAYOUTS)}'
    )


def _same_ratio(sides: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether a map of these sides has the image's ratio exactly."""
    return sides[0] * image[1] == sides[1] * image[0]


def _keeps_ratio(sides: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether a map of these sides may come from the image by one stride."""
    strides = {round(full / side) for full, side in zip(image, sides)}
    return any(
        sides == tuple(math.ceil(full / stride) for full in image)
        or sides == tuple(full // stride for full in image)
        for stride in strides - {0}
    )
