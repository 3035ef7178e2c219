"""Write the student of a distillation checkpoint as a plain MMAction2 checkpoint.

Or, where the file to write ends in .pt2, as a program of torch.export.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.launch import load_config
from mmvkd.export import export_program, export_student


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='of the training run, or its folder')
    parser.add_argument(
        'out',
        help='file to write: tensors and plain types only, or with .pt2 a program '
        'that maps frames to class scores and needs torch alone',
    )
    parser.add_argument(
        '--config', help='check that the weights fit this config; a program needs it'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        help="a program's input, as tools/get_flops.py takes it",
    )
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        config = load_config(args.config) if args.config else None
        if args.out.endswith('.pt2'):
            if config is None:
                raise ValueError(f'{args.out}: a program needs its --config')
            program = export_program(args.checkpoint, args.out, config, args.shape)
            frames = program.example_inputs[0][0]
            what = f'from uint8 {" x ".join(map(str, frames.shape))}'
        else:
            exported = export_student(args.checkpoint, args.out, config)
            what = f'{len(exported["state_dict"])} tensors'
    print(f'{args.out}: {what}, {Path(args.out).stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
