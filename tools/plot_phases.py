"""Draw the phases of a cascade, with accuracy and substage distances, from its log."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.visualization.phases import draw_phases, read_time_line
from mmvkd.visualization.pictures import write_png


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', help="the run's folder, as work_dirs/motions/staged_…")
    parser.add_argument('--out', help='default: phases.png in that folder')
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        line = read_time_line(Path(args.run))
        path = Path(args.out or Path(args.run) / 'phases.png')
        write_png(path, partial(draw_phases, line=line))
    print(path)


if __name__ == '__main__':
    main()
