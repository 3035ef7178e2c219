"""Results and times of a study, read from the folders of its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmvkd.files import read_json
from mmvkd.models.checkpoints import find_checkpoint
from mmvkd.run_logs import read_lines
from mmvkd.studies import outcome
from mmvkd.studies.commands import run_folder, test_step
from mmvkd.studies.fingerprint import versions
from mmvkd.studies.machine import describe_machine
from mmvkd.studies.study import Run, Study

FINGERPRINT = 'fingerprint.json'
LATENCY = 'latency.json'
ATTEMPTS = 'attempts.jsonl'
FAILED = 'failed.json'
RESULTS = 'results.json'
TIMES = 'times.json'
_FORMAT = 1  # of results; increase when older ones can no longer be read


def results(study: Study) -> dict[str, Any]:
    """All numbers of the study except times, as the report takes them."""
    runs: dict[str, Any] = {}
    tests: dict[str, str] = {}
    for name, run in study.runs.items():
        result = _result(study, run)
        labels = result.pop('labels', None)
        if labels is not None:
            # kept once per test list
            result['test_list'] = next(
                (key for key, known in tests.items() if known == labels),
                f'list{len(tests)}',
            )
            tests[result['test_list']] = labels
        runs[name] = result
    return dict(
        format=_FORMAT,
        name=study.name,
        title=study.title,
        methods=dict(study.methods),
        settings=list(study.settings),
        student=study.student,
        baselines=list(study.baselines),
        teachers={key: dict(value) for key, value in study.teachers.items()},
        # what made each teacher, itself last
        teacher_chains={
            name: study.chain(name) for each in study.teachers.values() for name in each
        },
        classes=list(study.classes),
        reversals=[list(pair) for pair in study.reversals],
        remarks=list(study.remarks),
        versions=versions(),
        cells=[
            dict(
                method=cell.method,
                setting=cell.setting,
                seed=cell.seed,
                run=cell.run,
                chain=study.chain(cell.run),
            )
            for cell in study.cells
        ],
        runs=runs,
        test_lists=tests,
    )


def _result(study: Study, run: Run) -> dict[str, Any]:
    """What a run left, or why it left nothing, with commands that make it here."""
    folder = run_folder(study, run.name)
    result = read_json(folder / outcome.RESULT)
    if result is None:
        failure = read_json(folder / FAILED)
        result = dict(
            state='failed' if failure else 'open',
            config=run.config,
            seed=run.seed,
            commands=outcome.commands(study, run),
        )
        if failure:
            result.update(reason=failure['reason'], log=failure['log'])
    elif folder.is_symlink():
        # made in another study's folders; the commands here make it in this one's
        tested = not run.caches and find_checkpoint(str(folder))
        result['commands'] = outcome.commands(
            study, run, test_step(study, run) if tested else None
        )
    return result


def stored(source: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results, and the times beside them if there are any.

    Args:
        source: A results file, or the folder that has it.

    Raises:
        FileNotFoundError: if there are no results.
        ValueError: if they are of another format.
    """
    file = source / RESULTS if source.is_dir() else source
    found = read_json(file)
    if found is None:
        raise FileNotFoundError(f"'{file}' does not exist: run the study first")
    if found.get('format') != _FORMAT:
        raise ValueError(
            f"'{file}' has format {found.get('format')}, this version reads {_FORMAT}; "
            'have the study write it anew'
        )
    return found, read_json(file.with_name(TIMES)) or {}


def times(study: Study) -> dict[str, Any]:
    """What the runs cost; kept apart, as it is never the same twice."""
    runs: dict[str, Any] = {}
    for name in study.runs:
        attempts = read_lines(run_folder(study, name) / ATTEMPTS)
        if attempts:
            runs[name] = dict(
                seconds=round(sum(entry['seconds'] for entry in attempts), 1),
                train=round(
                    sum(e['seconds'] for e in attempts if e['step'] != 'test'), 1
                ),
                # the time of an attempt that was killed with the study is not known
                interrupted=any(e['resumed'] or e['status'] for e in attempts),
                machine=attempts[-1]['machine'],
            )
    latency = (read_json(study.folder / LATENCY) or {}).get(describe_machine(), {})
    return dict(runs=runs, latency_ms=latency)
