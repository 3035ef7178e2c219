"""Write the labels refined by training as an annotation file, with confidences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.refined_labels import export_labels, read_labels
from mmvkd.visualization.labels import draw_labels
from mmvkd.visualization.pictures import write_png


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='of a run with PseudoLabelHook')
    parser.add_argument(
        'out',
        help='annotation file to write; a table of the same name, .csv, says how '
        'sure each label is',
    )
    parser.add_argument('--picture', help='PNG file: which labels became which')
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        state = read_labels(args.checkpoint)
        table = export_labels(state, args.out)
        if args.picture:
            write_png(Path(args.picture), partial(draw_labels, state=state))
    print(f'{args.out}: {len(state["lines"])} clips; confidences: {table}')


if __name__ == '__main__':
    main()
