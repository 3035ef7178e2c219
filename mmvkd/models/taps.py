"""Taps: a module's output, by dotted name, as a canonical (N, C, T, H, W) feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Optional

import torch
from torch import Tensor, nn

from mmvkd.models.layouts import TapError, canonical, infer_layout


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
        self.calls: Counter[str] = Counter()
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
                children = [f'{name}.{child}' for child in _called_inside(module)]
                raise TapError(
                    f"tap '{name}' returns a {kind}, not a tensor; tap a module inside "
                    f'it: {", ".join(children[:8]) or "it has none"}'
                )
            if self._grad and not torch.is_grad_enabled():
                raise TapError(
                    f"tap '{name}' lies inside a checkpointed block (with_cp), where "
                    'outputs carry no gradient; tap the stage around the block'
                )
            self.calls[name] += 1
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


def _is_holder(module: nn.Module) -> bool:
    """Whether it is a list or dict of modules, which has no forward of its own."""
    return isinstance(module, (nn.ModuleList, nn.ModuleDict))


def _called_inside(module: nn.Module) -> Iterator[str]:
    """Names of the children, and of those in its lists and dicts instead of these."""
    for name, child in module.named_children():
        if _is_holder(child):
            yield from (f'{name}.{inner}' for inner in _called_inside(child))
        else:
            yield name


def parts_around(model: nn.Module, taps: Sequence[str]) -> Iterator[nn.Module]:
    """The largest modules below ``model`` that have no tap inside.

    A tapped module counts as one: its hook runs outside its ``forward``.
    """
    for name, child in model.named_children():
        inside = [tap[len(name) + 1 :] for tap in taps if tap.startswith(f'{name}.')]
        if inside or _is_holder(child):
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
        for name, calls in taps.calls.items():
            if calls > 1:
                raise TapError(
                    f"tap '{name}' is called {calls} times in a forward pass of "
                    f'{type(taps.model).__name__}, so it has no one output; tap the '
                    'module that calls it'
                )
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
        for name in taps.missing():
            module = taps.modules[name]
            inside = [f'{name}.{child}' for child in _called_inside(module)]
            there = f', such as {", ".join(inside[:8])}' if _is_holder(module) else ''
            raise TapError(
                f"tap '{name}' is not called in a forward pass of "
                f'{type(taps.model).__name__}; tap a module that is{there}'
            )
