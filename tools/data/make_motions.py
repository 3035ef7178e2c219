"""Generate the Motions videos: see mmvkd/datasets/motions/."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.datasets.motions import DEFAULT_COUNTS, SPLITS, Difficulty, write_motions


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Generate the Motions videos and their lists; reuses what is done.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('root', help='directory of the data set, e.g. data/motions')
    for split in SPLITS:
        parser.add_argument(
            f'--{split}', type=int, default=DEFAULT_COUNTS[split], help='clips'
        )
    parser.add_argument('--size', type=int, default=112, help='side, in pixels')
    parser.add_argument('--num-frames', type=int, default=32, help='frames per clip')
    parser.add_argument('--fps', type=int, default=16, help='frames per second')
    parser.add_argument('--seed', type=int, default=0, help='seed of the data set')
    parser.add_argument('--workers', type=int, default=2, help='processes')
    knobs = parser.add_argument_group('difficulty')
    for knob in fields(Difficulty):
        pair = isinstance(knob.default, tuple)
        knobs.add_argument(
            f'--{knob.name.replace("_", "-")}',
            type=float if pair else type(knob.default),
            default=knob.default,
            nargs=2 if pair else None,
            metavar=('MIN', 'MAX') if pair else None,
            help=knob.metadata['help'],
        )
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        write_motions(
            args.root,
            counts={split: getattr(args, split) for split in SPLITS},
            size=args.size,
            num_frames=args.num_frames,
            fps=args.fps,
            seed=args.seed,
            num_workers=args.workers,
            difficulty=Difficulty(
                **{knob.name: getattr(args, knob.name) for knob in fields(Difficulty)}
            ),
        )


if __name__ == '__main__':
    main()
