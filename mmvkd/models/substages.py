"""Substages: where recognizers are cut, by their architecture."""

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
"""Layers of each substage, the last of which has the resolution of a ResNet stage."""


@dataclass(frozen=True)
class Substage:
    """One of the parts into which a backbone is cut, by dotted names of modules.

    Args:
        taps: Modules whose outputs are all that the next substage takes.
        modules: All modules that belong to it.
    """

    taps: tuple[str, ...]
    modules: tuple[str, ...]


def substages(model: nn.Module) -> dict[str, Substage]:
    """The substages of a recognizer, ``stage1`` and so on; empty if it is not known.

    Known are ResNet, ResNetTSM, ResNet3d and classes derived from them, SlowFast and
    MobileNetV2, of MMAction2 or MMPretrain.
    """
    backbone: Any = model.backbone
    if hasattr(backbone, 'slow_path'):
        return _of_resnets(backbone, ('slow_path', 'fast_path'))
    if hasattr(backbone, 'res_layers'):
        return _of_resnets(backbone, ('',))
    # MobileNetV3 has a layer7, too
    if 'layer7' in getattr(backbone, 'layers', ()) and hasattr(backbone, 'conv2'):
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
            stage = begun  # modules after the last layer belong to its stage
            if name in layers:
                stage = begun = layers.index(name)
                taps[stage].append(f'{prefix}.{name}')
            elif name.endswith('_lateral'):
                # it takes the output of one stage, but is trained with the next
                of = name[: -len('_lateral')]
                stage = layers.index(of) + 1 if of in layers else 0
            modules[stage].append(f'{prefix}.{name}')
    return {
        f'stage{i + 1}': Substage(tuple(taps[i]), tuple(modules[i]))
        for i in range(len(layers))
    }


def is_complete(model: nn.Module, taps: Collection[str]) -> bool:
    """Whether all that follows ``taps`` is known to depend on their outputs alone.

    For C2D it does not: its code between the layers reshapes what they return. Nor if
    the backbone hands out several layers, as to the neck of a TPN.
    """
    several = len(getattr(model.backbone, 'out_indices', ())) > 1
    if isinstance(model.backbone, C2D) or several:
        return False
    return any(set(stage.taps) == set(taps) for stage in substages(model).values())


def belongs(name: str, modules: Collection[str]) -> bool:
    """Whether a module or parameter is one of ``modules`` or lies inside one."""
    return any(name == module or name.startswith(f'{module}.') for module in modules)
