"""Run a study, or report it: methods × settings × seeds in one table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

# Set before torch is imported: forks share what this process imports, so it must be as
# in a run, and nothing in this process may wake an accelerator.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

from mmengine.logging import MMLogger

from mmvkd.clear_errors import ClearErrors
from mmvkd.files import write_text
from mmvkd.studies.commands import make_step, run_folder
from mmvkd.studies.excerpts import filled
from mmvkd.studies.machine import has_accelerator
from mmvkd.studies.outcome import RESULT
from mmvkd.studies.plan import load_study
from mmvkd.studies.report import write_report
from mmvkd.studies.runner import StudyRunner
from mmvkd.studies.study import Study


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='`study.py report STUDY` writes the report of what there is, without '
        'running anything; STUDY may then be a folder with results.json, too. '
        '`study.py tables FILE.md …` makes the tables in these files anew',
    )
    parser.add_argument('study', help='path, or name such as mmvkd::studies/….py')
    parser.add_argument('--out', help='folder of runs and results')
    parser.add_argument('--jobs', type=int, help='processes at a time')
    parser.add_argument('--only', nargs='+', default=[], help='methods to run')
    parser.add_argument(
        '--fresh',
        action='store_true',
        help='move all runs of other code, config or data aside, so that they are run '
        'again (with --only: by a later call)',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print the open runs and their commands'
    )
    ClearErrors.add_argument(parser)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ['tables']:
        return _fill(_files(words[1:]))
    report_only = words[:1] == ['report']
    args = parse_args(words[1:] if report_only else words)
    # it logs every environment variable that a config reads
    MMLogger.get_current_instance().setLevel('WARNING')
    with ClearErrors(args.traceback):
        if report_only and not args.study.endswith('.py'):
            _report(Path(args.study), args.out)
            return 0
        study = load_study(args.study, args.out)
        if report_only:
            _report(study.folder)
            return 0
        for path, hint in study.requires.items():
            if not Path(path).exists():
                print(f"study '{study.name}' skipped: '{path}' does not exist; {hint}")
                return 0
        if args.dry_run:
            _print_open(study, args.only)
            return 0
        runner = StudyRunner(
            study,
            args.jobs,
            args.only,
            args.fresh,
            in_process=not has_accelerator(),
            say=lambda text: print(text, flush=True),
        )
        try:
            complete = runner.execute()
        except KeyboardInterrupt:
            print('\ninterrupted; the same command goes on', file=sys.stderr)
            return 130
        _report(study.folder)
        return 0 if complete else 1


def _report(source: Path, folder: Optional[str] = None) -> None:
    files = write_report(source, Path(folder) if folder else None)
    print(f'report: {files[0]}, {files[1]}', flush=True)


def _files(words: Sequence[str]) -> list[str]:
    parser = argparse.ArgumentParser('study.py tables')
    parser.add_argument('files', nargs='+', help='texts whose tables are made anew')
    return parser.parse_args(words).files


def _fill(files: Sequence[str]) -> int:
    with ClearErrors():
        for file in map(Path, files):
            write_text(file, filled(file.read_text(encoding='utf-8'), file.parent))
    return 0


def _print_open(study: Study, only: Sequence[str]) -> None:
    names = [
        name
        for name in study.runs_of(only)
        if not (run_folder(study, name) / RESULT).is_file()
    ]
    print(f'{len(study.cells)} cells, {len(study.runs)} runs; to be run: {len(names)}')
    for name in names:
        print(f'{name}\n  {make_step(study, study.runs[name]).line()}')


if __name__ == '__main__':
    sys.exit(main())
