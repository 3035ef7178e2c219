"""Initialization of recognizers: from scratch, or from another run."""

from __future__ import annotations

from typing import Any, Optional

from mmaction.models.backbones.resnet import BasicBlock, Bottleneck
from mmengine.runner import CheckpointLoader
from torch import nn

from mmvkd.models.checkpoints import find_checkpoint, read_checkpoint
from mmvkd.models.losses.numerics import check_at_least
from mmvkd.registry import WEIGHT_INITIALIZERS
from mmvkd.tool_commands import as_typed_here

_RUN = 'run://'


@CheckpointLoader.register_scheme(prefixes=_RUN, force=True)
def load_run(address: str, map_location: Optional[str] = None) -> Any:
    """Read ``run://FOLDER``, for MMEngine: a run's best checkpoint, or else its last.

    This lets a config start from a run whose best epoch it does not know; a backbone by
    ``init_cfg=dict(type='Pretrained', checkpoint='run://…', prefix='backbone')``.
    ``run://FOLDER?recipe=COMMAND`` adds the command to show if the run is missing.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        RuntimeError: if it holds more than tensors and plain types.
    """
    folder, _, recipe = address[len(_RUN) :].partition('?recipe=')
    found = find_checkpoint(folder)
    if found is None:
        recipe = recipe and as_typed_here(recipe)
        hint = f'make it with: {recipe}' if recipe else 'train it first'
        raise FileNotFoundError(f"run '{folder}' has no checkpoint; {hint}")
    return read_checkpoint(found)


@WEIGHT_INITIALIZERS.register_module()
class ResidualScaleInit:
    """Starts the residual branches of a 2-D ResNet small.

    The scale of each block's last norm is set below 1, so that the variance does not
    grow with depth. With 0, the usual choice for images (arXiv 1706.02677), TSM starts
    to learn late, as its shifts are in these branches; our value is in between. Use it
    as the last entry of a backbone's ``init_cfg``.

    Args:
        scale: Scale of the branches, at least 0; 1 is the plain ResNet.
    """

    def __init__(self, scale: float = 0.25) -> None:
        check_at_least(0, scale, 'scale')
        self.scale = scale

    def __call__(self, module: nn.Module) -> None:
        """Initialize the blocks in ``module``, in place."""
        for block in module.modules():
            if isinstance(block, (BasicBlock, Bottleneck)):
                last = block.conv3 if isinstance(block, Bottleneck) else block.conv2
                nn.init.constant_(last.norm.weight, self.scale)
