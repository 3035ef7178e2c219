"""Generate the Motions videos: see mmvkd/datasets/motions/."""

from __future__ import annotations

import argparse
import sys

from mmvkd.datasets.motions import DEFAULT_COUNTS, SPLITS, Difficulty, write_motions


def parse_args() -> argparse.Namespace:
    default = Difficulty()
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
    knobs.add_argument(
        '--distractors', type=int, default=default.distractors, help='at most'
    )
    knobs.add_argument(
        '--noise', type=float, default=default.noise, help='in gray levels'
    )
    knobs.add_argument(
        '--contrast', type=float, default=default.contrast, help='in (0, 1]'
    )
    knobs.add_argument(
        '--target-size',
        type=float,
        nargs=2,
        metavar=('MIN', 'MAX'),
        default=default.target_size,
        help='diameter, in sides',
    )
    knobs.add_argument(
        '--speed',
        type=float,
        nargs=2,
        metavar=('MIN', 'MAX'),
        default=default.speed,
        help='1 is 0.8 sides, one turn or one growth cycle in a clip',
    )
    knobs.add_argument(
        '--background-motion',
        type=float,
        default=default.background_motion,
        help='largest drift over a clip, in sides',
    )
    knobs.add_argument(
        '--camera-jitter',
        type=float,
        default=default.camera_jitter,
        help='amplitude, in sides',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        write_motions(
            args.root,
            counts={split: getattr(args, split) for split in SPLITS},
            size=args.size,
            num_frames=args.num_frames,
            fps=args.fps,
            seed=args.seed,
            num_workers=args.workers,
            difficulty=Difficulty(
                distractors=args.distractors,
                noise=args.noise,
                contrast=args.contrast,
                target_size=tuple(args.target_size),
                speed=tuple(args.speed),
                background_motion=args.background_motion,
                camera_jitter=args.camera_jitter,
            ),
        )
    except (OSError, ValueError) as error:
        sys.exit(f'make_motions: {error}')


if __name__ == '__main__':
    main()
