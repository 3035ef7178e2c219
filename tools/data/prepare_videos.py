"""Re-encode videos for training: see mmvkd/datasets/prepare.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.cores import usable_cores
from mmvkd.datasets.prepare import UNREADABLE, prepare_videos
from mmvkd.datasets.reencoding import Settings
from mmvkd.evaluation.decoding import decoding_times


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    default = Settings()
    parser = argparse.ArgumentParser(
        description='Re-encode videos, small and with many key frames, which makes '
        'their decoding faster. A second call goes on where the first one ended.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('source', help='folder of the videos')
    parser.add_argument('target', help='folder of the new ones, under the same names')
    parser.add_argument(
        '--list',
        nargs='+',
        default=[],
        metavar='FILE',
        help='annotation lists ("file label" lines, files in SOURCE): encode what they '
        'name, and write them into TARGET for the new names',
    )
    parser.add_argument(
        '--short-side',
        type=int,
        default=default.short_side,
        help='in pixels; smaller videos keep their size',
    )
    parser.add_argument(
        '--gop',
        type=int,
        default=default.gop,
        help='frames between key frames',
    )
    parser.add_argument(
        '--crf', type=int, default=default.crf, help='quality, 0 (lossless) to 51'
    )
    parser.add_argument('--workers', type=int, default=usable_cores(), help='processes')
    parser.add_argument(
        '--time',
        action='store_true',
        help='then time sparse sampling of 8 frames by decord, before and after',
    )
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        report = prepare_videos(
            args.source,
            args.target,
            lists=args.list,
            settings=Settings(args.short_side, args.gop, args.crf),
            workers=args.workers,
        )
    for name, why in sorted(report.unreadable.items()):
        print(f'unreadable: {name}: {why}', file=sys.stderr)
    done = len(report.written) + len(report.kept)
    print(
        f'{len(report.written)} videos encoded, {len(report.kept)} were there already, '
        f'{len(report.unreadable)} unreadable'
        + (f', listed in {args.target}/{UNREADABLE}' if report.unreadable else '')
    )
    if not done:
        sys.exit(1)
    if args.time:
        names = sorted(report.written + report.kept)
        with ClearErrors(args.traceback):
            before, after = decoding_times(args.source, args.target, names)
        print(
            f'8 frames of a video: {before * 1e3:.1f} ms before, {after * 1e3:.1f} ms '
            f'after, {before / after:.2f} times as fast'
        )


if __name__ == '__main__':
    main()
