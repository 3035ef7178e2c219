"""Score a checkpoint of a distiller or of any other MMAction2 model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.dist import is_main_process

import mmvkd  # noqa: F401  (`mmvkd::` bases need it before a config is read)
from mmvkd.engine import launch
from mmvkd.errors import ClearErrors


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument('checkpoint', help='file or address')
    parser.add_argument('--work-dir', help='directory of logs and metrics')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument('--out', help='write the metrics to this .json file')
    parser.add_argument('--show-dir', help='directory of pictures of the predictions')
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='samples from one picture to the next'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays'
    )
    launch.add_arguments(parser)
    return parser.parse_args(argv)


def merge_args(config: Config, args: argparse.Namespace) -> None:
    """Write the arguments into the config; the checkpoint comes last."""
    if args.show or args.show_dir is not None:
        hook = config.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise ValueError(
                "--show and --show-dir need visualization=dict(type='VisualizationHook'"
                ') in default_hooks of the config'
            )
        hook.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f"--dump '{args.dump}' is not a .pkl file")
        evaluators = config.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        dump = dict(type='DumpResults', out_file_path=args.dump)
        config.test_evaluator = [*evaluators, dump]
    config.launcher = args.launcher
    if args.cfg_options is not None:
        config.merge_from_dict(args.cfg_options)
    launch.set_work_dir(config, args.work_dir, args.config)
    config.load_from = args.checkpoint
    config.resume = False


def main(argv: Optional[Sequence[str]] = None) -> dict[str, float]:
    args = parse_args(argv)
    with ClearErrors(args.traceback) as errors:
        config = launch.load_config(args.config)
        merge_args(config, args)
        runner = launch.build_runner(config, args.local_rank)
        errors.watch(runner)
        metrics = {key: float(value) for key, value in runner.test().items()}
        if args.out is not None and is_main_process():
            Path(args.out).write_text(json.dumps(metrics) + '\n', encoding='utf-8')
        del runner
        launch.shut_down()
    return metrics


if __name__ == '__main__':
    main()
