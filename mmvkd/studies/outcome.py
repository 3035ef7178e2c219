"""What a finished run contributes to the table, without any times."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mmvkd.evaluation.complexity import complexity, view_shape
from mmvkd.files import read_json, write_json
from mmvkd.models.recognizers import student_config, without_pretrained
from mmvkd.run_logs import logged
from mmvkd.studies.commands import (
    METRICS,
    PREDICTIONS,
    Step,
    make_step,
    run_folder,
    test_step,
)
from mmvkd.studies.fingerprint import config_of
from mmvkd.studies.study import Run, Study

RESULT = 'result.json'
_NO_METRICS = ('step', 'time', 'data_time', 'memory')
# settings of a backbone that change neither its size nor its speed
_OF_TRAINING = ('frozen_stages', 'init_cfg')


def collect(study: Study, run: Run, mark: str) -> dict[str, Any]:
    """Put the run's result together and write it into its folder.

    Args:
        study: The study of the run.
        run: The run, trained and tested, or cached.
        mark: Digest of its fingerprint.
    """
    folder = run_folder(study, run.name)
    result: dict[str, Any] = dict(
        state='finished',
        fingerprint=mark,
        config=run.config,
        seed=run.seed,
        processes=run.processes,
    )
    test = None if run.caches else test_step(study, run)
    result['commands'] = commands(study, run, test)
    if test is not None:
        result.update(
            metrics=read_json(folder / METRICS),
            checkpoint=Path(test.checkpoint).name,
            curve=curve(folder),
            model=cost(study, run),
        )
        result.update(of_predictions(folder / PREDICTIONS, study))
    write_json(folder / RESULT, result)
    return result


def commands(study: Study, run: Run, test: Optional[Step] = None) -> dict[str, str]:
    """The command lines that train (or cache) and test the run again."""
    lines = dict(train=make_step(study, run).line())
    if test is not None:
        lines['test'] = test.line()
    return lines


def curve(folder: Path) -> list[dict[str, float]]:
    """The validation of each epoch, however often the run was restarted.

    Each has its ``epoch``, the training steps until then that were logged (``iter``)
    and the metrics.
    """
    epochs: dict[int, dict[str, float]] = {}
    steps = 0
    for entry in logged(folder):
        if 'epoch' in entry or 'lr' in entry:
            steps = entry['step']  # of training
            continue
        metrics = {k: v for k, v in entry.items() if k not in _NO_METRICS}
        if metrics:
            epochs[entry['step']] = dict(iter=steps, **metrics)
    return [dict(epoch=epoch, **epochs[epoch]) for epoch in sorted(epochs)]


def cost(study: Study, run: Run) -> dict[str, Any]:
    """Parameters and GFLOPs of the run's (student) model; counted once per model."""
    with config_of(run) as config:
        settings = without_pretrained(student_config(config))
        settings['backbone'] = _as_built(settings['backbone'])
        try:
            shape: Sequence[int] = view_shape(config)
        except ValueError:
            return {}
        text = repr((sorted(settings.items()), shape))
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        file = study.folder / 'models' / f'{key}.json'
        known = read_json(file)
        if known is None:
            found = complexity(config)
            known = dict(
                key=key,
                parameters=found.parameters,
                gflops=found.gflops,
                shape=list(found.shape),
            )
            write_json(file, known)
    return known


def latency(run: Run) -> float:
    """Milliseconds of a forward pass of the run's (student) model on the CPU."""
    with config_of(run) as config:
        return float(complexity(config, latency=True).latency_ms or 0)


def _as_built(backbone: Any) -> Any:
    """The settings of a backbone and its pathways that decide size and speed."""
    if not isinstance(backbone, Mapping):
        return backbone
    return {k: _as_built(v) for k, v in backbone.items() if k not in _OF_TRAINING}


def of_predictions(file: Path, study: Study) -> dict[str, Any]:
    """Predicted and true class of each test clip, in the order of the list.

    Also, for clips of reversal pairs, whether the true class scores above its partner.
    Empty where clips have several labels.
    """
    with open(file, 'rb') as stream:
        samples = pickle.load(stream)  # written by our own test a moment ago
    scores = np.stack([np.asarray(_field(s, 'pred_score')) for s in samples])
    labels = [np.asarray(_field(sample, 'gt_label')).ravel() for sample in samples]
    if any(label.size != 1 for label in labels):
        return {}
    true = [int(label[0]) for label in labels]
    known = len(study.classes) == scores.shape[1]
    partner = partners(study.classes, study.reversals) if known else {}
    two_way = [
        str(int(score[label] > score[partner[label]])) if label in partner else '-'
        for score, label in zip(scores, true)
    ]
    found = dict(
        classes=scores.shape[1],
        labels=' '.join(map(str, true)),
        predictions=' '.join(str(int(score.argmax())) for score in scores),
    )
    if partner:
        found['two_way'] = ''.join(two_way)
    return found


def partners(
    classes: Sequence[str], reversals: Iterable[tuple[str, str]]
) -> dict[int, int]:
    """The label of the reversed class, by label."""
    found = {}
    for pair in reversals:
        a, b = (list(classes).index(name) for name in pair)
        found.update({a: b, b: a})
    return found


def _field(sample: Any, name: str) -> Any:
    if isinstance(sample, Mapping):
        return sample[name]
    return getattr(sample, name)
