"""Write the student of a distillation checkpoint as a plain MMAction2 checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import mmvkd  # noqa: F401  (checkpoints of MMEngine need its mends)
from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.launch import load_config
from mmvkd.export import export_student


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='of the training run, or its folder')
    parser.add_argument('out', help='file to write: tensors and plain types only')
    parser.add_argument('--config', help='check that the weights fit this config')
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        config = load_config(args.config) if args.config else None
        exported = export_student(args.checkpoint, args.out, config)
    size = Path(args.out).stat().st_size / 1e6
    count = len(exported['state_dict'])
    print(f'{args.out}: {count} tensors, {size:.1f} MB')


if __name__ == '__main__':
    main()
