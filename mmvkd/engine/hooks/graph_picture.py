"""Shows the teachers' graph while a run goes on."""

from __future__ import annotations

from functools import partial

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvkd.registry import HOOKS

_POINTS = 200  # of a curve


@HOOKS.register_module()
class GraphPictureHook(Hook):
    """Gives the picture of the teachers' graph to the run's visualizer.

    Which shows it where its backends show images: among TensorBoard's, or as files in
    ``vis_data/vis_image``. It is that of ``tools/plot_graph.py``. A run without graph
    heads has none.

    Args:
        interval: Epochs from one picture to the next.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'interval is 1 epoch or more, got {interval}')
        self.interval = interval

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw the edges since the run began, and the trust by class."""
        if not self.every_n_epochs(runner, self.interval):
            return
        # here, for no other run needs matplotlib
        from mmvkd.studies.figures import png
        from mmvkd.visualization.graph import draw_graph, graphs_of

        logged = []
        for key, buffer in runner.message_hub.log_scalars.items():
            values, _ = buffer.data
            end = runner.iter - len(values)
            for part in np.array_split(values, min(len(values), _POINTS)):
                end += len(part)
                logged.append((key.removeprefix('train/'), end, float(part.mean())))
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        graphs = graphs_of(logged, dict(model.named_buffers()))
        if graphs:
            picture = png(partial(draw_graph, graphs=graphs))
            image = mmcv.imfrombytes(picture, channel_order='rgb')
            runner.visualizer.add_image('graph', image, runner.epoch + 1)
