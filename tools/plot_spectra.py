"""Draw the spectra of students and their teacher by stage, and how far they differ."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Optional

from mmengine.logging import MMLogger

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.launch import add_cfg_options, load_config
from mmvkd.evaluation.compared import compare, folder_of_checkpoint
from mmvkd.evaluation.fidelity import MEASURES
from mmvkd.files import write_json
from mmvkd.visualization.pictures import write_png
from mmvkd.visualization.spectra import draw_spectra, read_scales, table


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f'Distances ({", ".join(MEASURES)}) are 0 for a student that is as its '
        'teacher is; the first two see how fast what moves, coherence when.',
    )
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    parser.add_argument('checkpoint', help="of its student: a file or a run's folder")
    parser.add_argument(
        '--against', nargs='+', default=[], help='checkpoints of other such students'
    )
    parser.add_argument('--clips', help="annotation list; default: the test set's")
    parser.add_argument(
        '--max-clips', type=int, default=128, help='clips of it (default: 128)'
    )
    parser.add_argument(
        '--taps',
        nargs='+',
        default=[],
        help='modules, as NAME or STUDENT=TEACHER; default: the stages',
    )
    parser.add_argument('--teacher', help='its name; default: the first one')
    parser.add_argument(
        '--out', help="PNG file; default: spectra.png in the checkpoint's folder"
    )
    add_cfg_options(parser)
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        config = load_config(args.config, args.cfg_options)
        # initializing a model logs each of its parameters
        MMLogger.get_instance('spectra', log_level='WARNING')
        fidelity = compare(
            config,
            [args.checkpoint, *args.against],
            clips=args.clips,
            taps=args.taps,
            teacher=args.teacher,
            most=args.max_clips,
        )
        folder = folder_of_checkpoint(args.checkpoint)
        scales = read_scales(folder)
        path = Path(args.out or folder / 'spectra.png')
        write_png(path, partial(draw_spectra, fidelity=fidelity, scales=scales))
        write_json(path.with_suffix('.json'), dict(fidelity.plain(), scales=scales))
    print(table(fidelity))
    print(path)


if __name__ == '__main__':
    main()
