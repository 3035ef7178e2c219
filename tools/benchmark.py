"""Time a config's training step and its parts in turn, to see how much is waste."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.launch import add_cfg_options, load_config
from mmvkd.evaluation.benchmark import measure, table
from mmvkd.evaluation.growth import AXES, growth, plain_growth
from mmvkd.evaluation.peaks import peak_memory
from mmvkd.evaluation.setting import BenchmarkSettings
from mmvkd.files import write_json
from mmvkd.visualization.growth import draw_growth
from mmvkd.visualization.pictures import write_png


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Clips and weights are made up: no checkpoint and no data set is '
        'needed. Loading is timed where the data set is there.',
    )
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument('--device', default='cpu', help='cpu (default) or cuda')
    parser.add_argument('--size', type=int, help='pixels a side; default: the config')
    parser.add_argument('--batch', type=int, default=8, help='clips (default: 8)')
    parser.add_argument('--steps', type=int, default=20, help='rounds (default: 20)')
    parser.add_argument(
        '--warmup', type=int, default=3, help='rounds before them (default: 3)'
    )
    parser.add_argument(
        '--no-memory', action='store_true', help='leave the peak memory out'
    )
    parser.add_argument(
        '--growth',
        nargs='*',
        choices=list(AXES),
        help='draw how the cost grows along these, or all, instead',
    )
    parser.add_argument('--json', help='write the numbers to this .json file')
    parser.add_argument('--png', help='write the picture of --growth to this file')
    add_cfg_options(parser)
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> dict[str, Any]:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        if args.png is not None and args.growth is None:
            raise ValueError('--png draws how the cost grows: add --growth')
        config = load_config(args.config, args.cfg_options)
        setting = BenchmarkSettings(
            args.batch,
            args.size,
            device=args.device,
            steps=args.steps,
            warmup=args.warmup,
        )
        if args.growth is not None:
            axes = args.growth or list(AXES)
            found = {axis: growth(config, axis, setting) for axis in axes}
            result = plain_growth(found)
            if args.png is not None:
                write_png(Path(args.png), partial(draw_growth, found=found))
        else:
            with tempfile.TemporaryDirectory() as folder:
                peaks = partial(peak_memory, config, setting, Path(folder))
                report = measure(
                    config, setting, Path(folder), None if args.no_memory else peaks
                )
            result = report.plain()
            print(table(report))
        if args.json is not None:
            write_json(Path(args.json), result)
    return result


if __name__ == '__main__':
    main()
