"""Shows the teachers' graph while a run is in progress."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import mmcv
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvkd.engine.wrapping import unwrap
from mmvkd.models.losses.numerics import check_at_least
from mmvkd.registry import HOOKS


@HOOKS.register_module()
class GraphPictureHook(Hook):
    """Gives a picture of the teachers' graph to the run's visualizer.

    It appears where the visualizer's backends show images: in TensorBoard, or as files
    in ``vis_data/vis_image``. It is the picture of ``tools/plot_graph.py``, drawn from
    the log that a ``LocalVisBackend`` writes, with the current trust by class. A run
    without that log or without graph heads has none.

    Args:
        interval: Epochs from one picture to the next.

    Raises:
        ValueError: if ``interval`` is less than 1.
    """

    # after the logger
    priority = 'VERY_LOW'

    def __init__(self, interval: int = 1) -> None:
        check_at_least(1, interval, 'interval')
        self.interval = interval

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Draw the edges since the run began, and the trust by class."""
        if not self.every_n_epochs(runner, self.interval):
            return
        # here, because no other run needs matplotlib
        from mmvkd.visualization.graph import draw_graph, logged_graphs
        from mmvkd.visualization.pictures import png

        state = dict(unwrap(runner.model).named_buffers())
        graphs = logged_graphs(Path(runner.work_dir), state)
        if graphs:
            picture = png(partial(draw_graph, graphs=graphs))
            image = mmcv.imfrombytes(picture, channel_order='rgb')
            runner.visualizer.add_image('graph', image, runner.epoch + 1)
