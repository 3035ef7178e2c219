"""Draw the teachers' graph of a run: its edges, over training and by class."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.visualization.graph import draw_graph, read_graphs
from mmvkd.visualization.pictures import write_png


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', help="the run's folder, as work_dirs/motions/graph_…")
    parser.add_argument('--out', help='default: graph.png in that folder')
    parser.add_argument('--classes', help='file with the name of a class in each line')
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        graphs = read_graphs(Path(args.run))
        names = None
        if args.classes:
            names = Path(args.classes).read_text(encoding='utf-8').splitlines()
        path = Path(args.out or Path(args.run) / 'graph.png')
        write_png(path, partial(draw_graph, graphs=graphs, classes=names))
    for graph in graphs:
        last = {name: curve[max(curve)] for name, curve in graph.curves().items()}
        told = ', '.join(f'{name} {weight:.3f}' for name, weight in last.items())
        print(f'{graph.head}: {told}')
    print(path)


if __name__ == '__main__':
    main()
