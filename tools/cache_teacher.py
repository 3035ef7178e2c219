"""Store the outputs of a config's teachers for K seeded views of each clip.

Training with the same config then reads them instead of running the teachers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Optional

from mmvkd.clear_errors import ClearErrors
from mmvkd.engine.caching import write_stores
from mmvkd.engine.launch import add_cfg_options, load_config


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='Several processes share the work: torchrun --nproc-per-node 8 '
        'tools/cache_teacher.py CONFIG. A run that was killed goes on.',
    )
    parser.add_argument('config', help='path, or name such as mmvkd::distill/….py')
    add_cfg_options(parser)
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    with ClearErrors(args.traceback):
        config = load_config(args.config, args.cfg_options)
        write_stores(config, say=lambda text: print(text, flush=True))


if __name__ == '__main__':
    main()
