"""A forward pass in which the outputs of some modules are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Optional

from torch import Tensor, nn

from mmvkd.models.layouts import TapError
from mmvkd.models.taps import find_module, parts_around


class Substitution:
    """Gives the outputs of some modules, for the passes inside a context.

    Args:
        model: The model.
        names: Dotted names of the modules.
        alone: Whether all that follows depends on these outputs alone. If so, the
            modules before them, which the first pass finds, are not run again.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], alone: bool) -> None:
        self.model = model
        self.modules = {name: find_module(model, name) for name in names}
        self.alone = alone
        self._before: Optional[list[nn.Module]] = None

    @contextmanager
    def giving(self, outputs: Mapping[str, Tensor]) -> Iterator[None]:
        """Give ``outputs``, by name and as the modules would return them.

        Raises:
            TapError: if one does not have the shape that its module returns.
        """
        with ExitStack() as stack:
            if self.alone and self._before is not None:
                nothing = next(iter(outputs.values())).new_empty((0, 0, 0, 0, 0))
                for module in self._before:
                    stack.enter_context(_returning(module, nothing))
                for name, module in self.modules.items():
                    stack.enter_context(_returning(module, outputs[name]))
                yield
                return
            for name, module in self.modules.items():
                hook = _replacing(name, outputs[name])
                stack.callback(module.register_forward_hook(hook).remove)
            order: list[nn.Module] = []
            for part in parts_around(self.model, tuple(self.modules)):
                handle = part.register_forward_pre_hook(lambda m, _: order.append(m))
                stack.callback(handle.remove)
            yield
            self._before = self._prefix(order)

    def _prefix(self, order: Sequence[nn.Module]) -> list[nn.Module]:
        """The modules that were called before all the given ones, and never after."""
        given = [order.index(module) for module in self.modules.values()]
        before, after = order[: min(given)], order[max(given) :]
        return [module for module in before if module not in after]


def _replacing(name: str, given: Tensor) -> Callable[[nn.Module, Any, Any], Tensor]:
    def replace(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output)
        if shape != tuple(given.shape):
            raise TapError(
                f"tap '{name}' returns {shape}, and {tuple(given.shape)} was given in "
                'its place; a class token cannot be given: tap a module of maps'
            )
        return given

    return replace


@contextmanager
def _returning(module: nn.Module, value: Tensor) -> Iterator[None]:
    """Let a module return ``value`` without running it."""
    own = module.__dict__.get('forward')
    module.__dict__['forward'] = lambda *args, **kwargs: value
    try:
        yield
    finally:
        del module.__dict__['forward']
        if own is not None:
            module.__dict__['forward'] = own
