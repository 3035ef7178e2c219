"""Taps: a module's output, by dotted name, as a canonical (N, C, T, H, W) feature."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Optional

import torch
from torch import Tensor, nn

LAYOUTS = ('NTCHW', 'NHWC', 'NTHWC', 'NCTHW', 'NLC', 'LNC', 'N8LC', 'NL8C', 'NC')
"""What a module may return. ``NTCHW``: (N·T, C, H, W), as 2-D recognizers do;
``NHWC``: (N·T, H, W, C); ``NTHWC``: (N, T, H, W, C), as Swin does; ``NCTHW``; ``NC``:
(N, C) or (N·T, C) vectors.

Tokens: ``NLC``: (N, L, C) or (N·T, L, C); ``LNC``: (L, N·T, C), as UniFormerV2 does;
``N8LC``: (N, 8·L, C), 8 frames one after the other, as VideoMAE does; ``NL8C``:
(N, L·8, C), the 8 tokens of each place together; any other number may replace the 8.
The tokens of a frame become a square map, without the class token in front if there is
one, or a single row if their number allows no square."""

_OF_FRAMES = re.compile(r'N(?:(\d+)L|L(\d+))C')


class TapError(ValueError):
    """A tap that cannot give a feature; the message says what would."""


def find_module(model: nn.Module, name: str) -> nn.Module:
    """The module called ``name`` in ``model``.

    Raises:
        TapError: if there is none; suggests similar names.
    """
    modules = {child: module for child, module in model.named_modules() if child}
    if name in modules:
        return modules[name]
    near = get_close_matches(name, modules, n=3, cutoff=0.5) or [
        child for child in modules if child.count('.') == 1
    ]
    raise TapError(
        f"tap '{name}' is not in {type(model).__name__}; near: {', '.join(near[:8])}"
    )


class Taps:
    """Records what the tapped modules return during one forward pass.

    Used as a context around the forward pass. Hooks exist only inside it, so a copied
    or exported model carries none.

    Args:
        model: The model that is tapped.
        names: Dotted names of modules.
        cloned: Names of those whose output is changed in place afterwards; it is
            cloned when the module returns (see :meth:`TapReader.learn`).
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], cloned: Sequence[str] = ()
    ) -> None:
        self.model = model
        self.modules = {name: find_module(model, name) for name in names}
        self.cloned = frozenset(cloned)
        self.outputs: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Taps:
        self._grad = torch.is_grad_enabled()
        for name, module in self.modules.items():
            self._handles.append(module.register_forward_hook(self._recorder(name)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _recorder(self, name: str) -> Any:
        def record(module: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                children = [f'{name}.{child}' for child, _ in module.named_children()]
                raise TapError(
                    f"tap '{name}' returns a {kind}, not a tensor; tap a module inside "
                    f'it: {", ".join(children[:8]) or "it has none"}'
                )
            if self._grad and not torch.is_grad_enabled():
                raise TapError(
                    f"tap '{name}' lies inside a checkpointed block (with_cp), where "
                    'outputs carry no gradient; tap the stage around the block'
                )
            if name in self.cloned:
                output = output.clone()
            self.outputs[name] = output
            self._versions[name] = output._version

        return record

    def changed(self) -> list[str]:
        """Taps whose recorded tensor was changed in place since."""
        return [
            name
            for name, output in self.outputs.items()
            if output._version != self._versions[name]
        ]

    def missing(self) -> list[str]:
        """Taps whose module was not called."""
        return [name for name in self.modules if name not in self.outputs]


def canonical(output: Tensor, layout: str, batch: int) -> Tensor:
    """``output`` as (N, C, T, H, W); a view wherever strides allow.

    Args:
        output: What a module returned.
        layout: One of :data:`LAYOUTS`.
        batch: N, the number of clips that went into the model.

    Raises:
        TapError: if the shape does not fit the layout.
    """
    ndim = {'NTCHW': 4, 'NHWC': 4, 'NTHWC': 5, 'NCTHW': 5, 'NLC': 3, 'LNC': 3, 'NC': 2}
    clip = _OF_FRAMES.fullmatch(layout)
    if layout not in ndim and clip is None:
        raise TapError(f"layout '{layout}' is unknown; known: {', '.join(LAYOUTS)}")
    rows = output.shape[1] if layout == 'LNC' and output.ndim > 1 else output.shape[0]
    by_clip = rows == batch if clip else rows % batch == 0
    if output.ndim != ndim.get(layout, 3) or not by_clip:
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


def parts_around(model: nn.Module, taps: Sequence[str]) -> Iterator[nn.Module]:
    """The largest modules below ``model`` that have no tap inside.

    A tapped module counts as one: its hook runs outside its ``forward``.
    """
    for name, child in model.named_children():
        inside = [tap[len(name) + 1 :] for tap in taps if tap.startswith(f'{name}.')]
        # a list or dict of modules has no forward of its own
        if inside or isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from parts_around(child, inside)
        else:
            yield child


class TapReader:
    """Gives the tapped features of a model's forward pass in canonical layout.

    Args:
        model: The model.
        names: Dotted names of the tapped modules.
        layouts: Layout by tap; None, or no entry, if the config gives none.
    """

    def __init__(
        self,
        model: nn.Module,
        names: Sequence[str],
        layouts: Optional[Mapping[str, Optional[str]]] = None,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.layouts = {tap: said for tap, said in (layouts or {}).items() if said}
        self.cloned: tuple[str, ...] = ()
        for name in self.names:
            find_module(model, name)

    def recording(self, model: nn.Module) -> Taps:
        """A context that records the taps of ``model``."""
        return Taps(model, self.names, self.cloned)

    def learn(
        self, taps: Taps, batch: int, image: tuple[int, int], volumes: bool = False
    ) -> None:
        """Learn the layouts, and which taps must be cloned, from a first pass.

        See :func:`infer_layout`.
        """
        self._require_called(taps)
        self.cloned = tuple(taps.changed())
        for name, output in taps.outputs.items():
            if name not in self.layouts:
                self.layouts[name] = infer_layout(name, output, batch, image, volumes)

    def features(self, taps: Taps, batch: int) -> dict[str, Tensor]:
        """Features (N, C, T, H, W) by tap name, for ``batch`` = N clips."""
        changed = taps.changed()
        if changed:
            raise TapError(
                f"the output of tap '{changed[0]}' was changed in place after it was "
                'returned; tap the module that follows it'
            )
        return self.recast(taps, batch)

    def recast(self, taps: Taps, batch: int) -> dict[str, Tensor]:
        """Like :meth:`features`, even if outputs were changed in place since."""
        self._require_called(taps)
        return {
            name: canonical(output, self.layouts[name], batch)
            for name, output in taps.outputs.items()
        }

    @staticmethod
    def _require_called(taps: Taps) -> None:
        if taps.missing():
            raise TapError(
                f"tap '{taps.missing()[0]}' is not called in a forward pass of "
                f'{type(taps.model).__name__}; tap a module that is'
            )
