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
"""Layers of equal resolution; the last of each row is as large as a ResNet's stage."""


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
    """Substages of ResNets that run side by side."""
    layers = list(backbone.get_submodule(paths[0]).res_layers)
    taps: list[list[str]] = [[] for _ in layers]
    modules: list[list[str]] = [[] for _ in layers]
    for path in paths:
        prefix = '.'.join(part for part in ('backbone', path) if part)
        begun = 0
        for name, _ in backbone.get_submodule(path).named_children():
            stage = begun  # a tail behind the layers belongs to the last
            if name in layers:
                stage = begun = layers.index(name)
                taps[stage].append(f'{prefix}.{name}')
            elif name.endswith('_lateral'):
                # it takes the output of one stage, and is trained by the next
                of = name[: -len('_lateral')]
                stage = layers.index(of) + 1 if of in layers else 0
            modules[stage].append(f'{prefix}.{name}')
    return {
        f'stage{i + 1}': Substage(tuple(taps[i]), tuple(modules[i]))
        for i in range(len(layers))
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
