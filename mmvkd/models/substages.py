"""Substages: where recognizers are cut, as their architecture tells."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from mmaction.models.backbones import C2D
from torch import nn

_MOBILENET_V2 = (
    ('conv1', 'layer1', 'layer2'),
    ('layer3',),
    ('layer4', 'layer5'),
    ('layer6', 'layer7', 'conv2'),
)
"""Of equal resolution each, the last of which is a stage of a ResNet."""


@dataclass(frozen=True)
class Substage:
    """One of the parts that a backbone is cut into, by dotted names of modules.

    Args:
        taps: Those whose outputs are all that the next substage takes.
        modules: All those that belong to it.
    """

    taps: tuple[str, ...]
    modules: tuple[str, ...]


def substages(model: nn.Module) -> dict[str, Substage]:
    """The substages of a recognizer, ``stage1`` and so on; none if it is not known.

    Known are ResNet, ResNetTSM, ResNet3d, what is derived from them, SlowFast and
    MobileNetV2, of MMAction2 or MMPretrain.
    """
    backbone: Any = model.backbone
    if hasattr(backbone, 'slow_path'):
        return _of_resnets(backbone, ('slow_path', 'fast_path'))
    if hasattr(backbone, 'res_layers'):
        return _of_resnets(backbone, ('',))
    if 'layer7' in getattr(backbone, 'layers', ()):
        return {
            f'stage{i}': Substage(
                (f'backbone.{names[-1]}',), tuple(f'backbone.{name}' for name in names)
            )
            for i, names in enumerate(_MOBILENET_V2, 1)
        }
    return {}


def _of_resnets(backbone: Any, paths: Sequence[str]) -> dict[str, Substage]:
    """Of ResNets that run side by side."""
    count = len(backbone.get_submodule(paths[0]).res_layers)
    taps: list[list[str]] = [[] for _ in range(count)]
    modules: list[list[str]] = [[] for _ in range(count)]
    for path in paths:
        prefix = '.'.join(part for part in ('backbone', path) if part)
        for name, _ in backbone.get_submodule(path).named_children():
            full, stage = f'{prefix}.{name}', 0
            for i in range(count):
                if name == f'layer{i + 1}':
                    stage = i
                    taps[i].append(full)
                elif name == f'layer{i + 1}_lateral':
                    # it takes the output of one stage, and is trained by the next
                    stage = i + 1
            modules[stage].append(full)
    return {
        f'stage{i + 1}': Substage(tuple(taps[i]), tuple(modules[i]))
        for i in range(count)
    }


def is_complete(model: nn.Module, taps: Collection[str]) -> bool:
    """Whether all that follows ``taps`` depends on their outputs alone, for sure.

    Of C2D it does not: its code between the layers reshapes what they return.
    """
    if isinstance(model.backbone, C2D):
        return False
    return any(set(stage.taps) == set(taps) for stage in substages(model).values())


def belongs(name: str, modules: Collection[str]) -> bool:
    """Whether a module or parameter is one of ``modules`` or lies inside one."""
    return any(name == module or name.startswith(f'{module}.') for module in modules)
