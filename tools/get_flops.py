"""Count parameters and operations of a config's recognizer, without its teachers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import torch

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.launch import load_config
from mmvkd.evaluation.complexity import Complexity, complexity
from mmvkd.files import write_json


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        help='SIZE, HEIGHT WIDTH, T C H W (2-D) or VIEWS C T H W (3-D); default: one '
        'view of the validation pipeline',
    )
    parser.add_argument(
        '--latency', action='store_true', help='time a forward pass on the CPU'
    )
    parser.add_argument('--out', help='write the numbers to this .json file')
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> Complexity:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        cost = complexity(load_config(args.config), args.shape, args.latency)
        if args.out is not None:
            write_json(Path(args.out), asdict(cost))
    print(f'input       {" x ".join(map(str, cost.shape))} (one view)')
    print(f'parameters  {cost.parameters / 1e6:.2f} M')
    print(f'operations  {cost.gflops:.2f} GFLOPs (multiply-adds)')
    if cost.latency_ms is not None:
        threads = torch.get_num_threads()
        print(f'latency     {cost.latency_ms:.1f} ms (CPU, {threads} threads)')
    return cost


if __name__ == '__main__':
    main()
