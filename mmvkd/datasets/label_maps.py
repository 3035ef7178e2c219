"""Which classes a clip's augmentation exchanged, such as left and right by a flip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

_NAMES = ('flip_label_map', 'label_map')


class WatchedMap(dict):
    """A transform's label map that notes its look-ups, and moves several labels.

    A transform looks a label up whenever it has changed the clip, whatever the label,
    so the look-up reveals the change even for a clip without a label.
    """

    asked = False

    def get(self, key: Any, default: Any = None) -> Any:
        """As ``dict.get``, but remember that it was called.

        Args:
            key: A label, or several as a vector (M,) of zeros and ones.
            default: What to return for a label that stays.
        """
        self.asked = True
        if not isinstance(key, torch.Tensor):
            return super().get(key, default)
        moved = key.clone()
        moved[list(self)] = 0
        for label, now in self.items():
            moved[now] = torch.maximum(moved[now], key[label])
        return moved


def flattened(transforms: Any) -> Iterator[Any]:
    """The transforms and those nested in them, as in RandomApply."""
    if not isinstance(transforms, (list, tuple)):
        yield transforms
        transforms = getattr(transforms, 'transforms', [])
        transforms = transforms if isinstance(transforms, list) else [transforms]
    for transform in transforms:
        yield from flattened(transform)


class LabelMaps:
    """The label maps of a pipeline, watched from now on.

    Args:
        transforms: Those of the pipeline; their ``flip_label_map`` and ``label_map``
            are replaced by equal maps that are watched.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self._maps: list[WatchedMap] = []
        for transform in flattened(transforms):
            for name in _NAMES:
                mapping = getattr(transform, name, None)
                if mapping:
                    self._maps.append(WatchedMap(mapping))
                    setattr(transform, name, self._maps[-1])

    def forget(self) -> None:
        """Forget the look-ups of the previous clip."""
        for mapping in self._maps:
            mapping.asked = False

    def exchanged(self) -> dict[int, int]:
        """The class shown now, by the class before; classes that stay are left out."""
        asked = [mapping for mapping in self._maps if mapping.asked]
        shown = {}
        for label in sorted({key for mapping in asked for key in mapping}):
            now = label
            for mapping in asked:
                now = dict.get(mapping, now, now)
            if now != label:
                shown[label] = now
        return shown
