"""Score a checkpoint of a distiller or of any other MMAction2 model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine import distributed, launch
from mmvkd.files import write_json


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument('checkpoint', help='file, address, or folder of a run')
    parser.add_argument('--work-dir', help='directory of logs and metrics')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument('--out', help='write the metrics to this .json file')
    launch.add_arguments(parser)
    return parser.parse_args(argv)


def merge_args(config: Config, args: argparse.Namespace) -> None:
    """Write the arguments into the config; the checkpoint comes last."""
    if args.cfg_options is not None:
        config.merge_from_dict(args.cfg_options)
    if args.dump is not None:
        if not args.dump.endswith(('.pkl', '.pickle')):
            raise ValueError(f"--dump '{args.dump}' is not a .pkl file")
        evaluators = config.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        dump = dict(type='DumpResults', out_file_path=args.dump)
        config.test_evaluator = [*evaluators, dump]
    config.launcher = args.launcher
    launch.set_work_dir(config, args.work_dir, args.config)
    config.load_from = args.checkpoint
    config.resume = False


def main(argv: Optional[Sequence[str]] = None) -> dict[str, Any]:
    args = parse_args(argv)
    with ClearErrors(args.traceback) as errors:
        config = launch.load_config(args.config)
        merge_args(config, args)
        runner = launch.build_runner(config, args.local_rank)
        errors.watch(runner)
        # some are arrays, such as a confusion matrix
        metrics = {
            key: value.tolist() if hasattr(value, 'tolist') else value
            for key, value in runner.test().items()
        }
        if args.out is not None and is_main_process():
            write_json(Path(args.out), metrics)
        del runner
        distributed.shut_down()
    return metrics


if __name__ == '__main__':
    main()
