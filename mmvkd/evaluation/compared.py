"""Compares students with their teacher on held-out clips, from checkpoints."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import torch
from mmaction.models.recognizers import BaseRecognizer
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import Tensor
from torch.utils.data import DataLoader

from mmvkd.datasets import SeededDataset
from mmvkd.evaluation.fidelity import (
    BEFORE,
    Fidelity,
    Stage,
    energy_shares,
    kernel_distance,
    kernel_shares,
    temporal_distances,
)
from mmvkd.models import VideoDistiller
from mmvkd.models.checkpoints import load_weights
from mmvkd.models.kernels import kernels
from mmvkd.models.probe import probe
from mmvkd.models.recognizers import dataset_of
from mmvkd.models.resizing import match_size
from mmvkd.models.substages import belongs, substages
from mmvkd.models.taps import TapReader
from mmvkd.models.teachers import RecognizerTeacher
from mmvkd.models.teachers.cached import is_cached
from mmvkd.registry import MODELS

_BATCH = 8  # clips


@dataclass(frozen=True)
class Pair:
    """Where student and teacher are compared, by dotted names of modules.

    Args:
        student: The student's tap.
        teacher: The teacher's tap.
        modules: The student's and the teacher's modules whose kernels are compared.
    """

    student: str
    teacher: str
    modules: tuple[Sequence[str], Sequence[str]]


def pairs(
    student: BaseRecognizer, teacher: BaseRecognizer, taps: Sequence[str] = ()
) -> dict[str, Pair]:
    """Where to compare two models, by the stage's name.

    Args:
        student: A recognizer.
        teacher: Likewise.
        taps: ``NAME``, or ``STUDENT=TEACHER`` where names differ. If empty, the stages
            known for the architecture (see :mod:`mmvkd.models.substages`), in their
            order; pathways one by one, or the first if the other model has just one.

    Raises:
        ValueError: if stages are not known, or differ in number.
    """
    if taps:
        names = [tap.partition('=')[::2] for tap in taps]
        return {s: Pair(s, t or s, ((s,), (t or s,))) for s, t in names}
    own, theirs = substages(student), substages(teacher)
    if not own or len(own) != len(theirs):
        told = ', '.join(
            f'{len(stages) or "none"} of the {role} ({type(model.backbone).__name__})'
            for role, stages, model in (
                ('student', own, student),
                ('teacher', theirs, teacher),
            )
        )
        raise ValueError(
            f'stages that are known: {told}; name modules of both, such as '
            '--taps backbone.layer3=backbone.layers.2'
        )
    found = {}
    for (name, mine), other in zip(own.items(), theirs.values()):
        several = len(mine.taps) > 1 < len(other.taps)
        for tap, their_tap in zip(mine.taps, other.taps):
            stage = f'{name} {tap.split(".")[1]}' if several else name
            modules = (mine.modules, other.modules)
            found[stage] = Pair(tap, their_tap, modules)
    return found


def compare(
    config: Config,
    checkpoints: Sequence[str],
    clips: Optional[str] = None,
    taps: Sequence[str] = (),
    teacher: Optional[str] = None,
    most: int = 128,
) -> Fidelity:
    """Compare students with their teacher on clips that none was trained on.

    Args:
        config: That of a distiller.
        checkpoints: Checkpoints of its student: files or folders of runs. Each is
            called by its folder. The student before training is added to them.
        clips: An annotation list to use instead of the test set's.
        taps: See :func:`pairs`.
        teacher: Its name in the config; the first one if None.
        most: Clips to look at, evenly spread over the list. Each is seen once, as the
            validation pipeline loads it.

    Raises:
        FileNotFoundError: if a checkpoint or the list is missing.
        ValueError: if the config has no teacher, no such one or no test set, or if
            ``most`` is below 1.
        RuntimeError: if a checkpoint is not of the student.
    """
    if most < 1:
        raise ValueError(f'clips to look at must be 1 or more, got {most}')
    init_default_scope(config.get('default_scope') or 'mmaction')
    set_random_seed((config.get('randomness') or {}).get('seed') or 0)
    distiller, reference = _distiller(config, teacher)
    places = pairs(distiller.student, reference.model, taps)
    students = _students(distiller.student, checkpoints, (reference.name, BEFORE))
    reference.attach(reference.name, {pair.teacher: None for pair in places.values()})
    reference.load()
    # last of all, because it may need files of its own
    distiller.student.init_weights()
    students = {BEFORE: distiller.student, **students}
    loader, count = _loader(config, clips, most)
    device = torch.device(get_device())
    for model in (distiller, reference, *students.values()):
        model.to(device)
    # of each clip, by stage, model and measure
    shares: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    distances: dict[tuple[str, str, str], list[Tensor]] = defaultdict(list)
    for stage, name, own, theirs in _meetings(
        distiller, reference, students, places, loader
    ):
        if name == BEFORE:
            # once, as it has the same size beside the other students
            shares[stage, reference.name].append(energy_shares(theirs))
        shares[stage, name].append(energy_shares(own))
        for measure, values in temporal_distances(own, theirs).items():
            distances[stage, name, measure].append(values)
    found = {stage: Stage({}, {}, {n: {} for n in students}) for stage in places}
    for (stage, name), rows in shares.items():
        found[stage].temporal[name] = torch.cat(rows).mean(0).tolist()
    for (stage, name, measure), rows in distances.items():
        found[stage].distances[name][measure] = torch.cat(rows).mean().item()
    for stage, pair in places.items():
        target = _kernels(reference.model, pair.modules[1])
        for name, student in students.items():
            spectra = kernel_shares(_kernels(student, pair.modules[0]), target)
            if spectra is not None:
                found[stage].kernels[name] = spectra[0].tolist()
                found[stage].kernels[reference.name] = spectra[1].tolist()
                found[stage].distances[name]['kernels'] = kernel_distance(*spectra)
    return Fidelity(reference.name, tuple(students), count, found)


def _distiller(
    config: Config, teacher: Optional[str]
) -> tuple[VideoDistiller, RecognizerTeacher]:
    """The distiller with one teacher only, and that teacher."""
    model = config.model.to_dict()
    teachers = model.get('teachers') or {}
    if not teachers:
        raise ValueError(
            f'the model of the config, a {model.get("type")}, has no teachers to '
            'compare with; give the config of a mmvkd.VideoDistiller'
        )
    name = next(iter(teachers)) if teacher is None else teacher
    if name not in teachers:
        raise ValueError(
            f"the config has no teacher '{name}'; it has {', '.join(teachers)}"
        )
    chosen = teachers[name]
    if is_cached(chosen):
        # a store only has what its heads tapped in training
        chosen = MODELS.build(chosen).online_config()
    distiller = MODELS.build(
        dict(
            type='mmvkd.VideoDistiller',
            student=model['student'],
            teachers={name: chosen},
            student_view=model.get('student_view'),
        )
    )
    # clips are compared as they are
    distiller.student.data_preprocessor.blending = None
    return distiller.eval(), distiller.teachers[name]


def folder_of_checkpoint(checkpoint: str) -> Path:
    """The folder of the run that wrote a checkpoint; a folder stays as it is."""
    path = Path(checkpoint)
    return path if path.is_dir() else path.parent


def _students(
    plain: BaseRecognizer, checkpoints: Sequence[str], taken: Sequence[str]
) -> dict[str, BaseRecognizer]:
    """A copy of ``plain`` from each checkpoint, by the folder's name or the path."""
    names = [folder_of_checkpoint(path).resolve().name for path in checkpoints]
    found = {}
    for path, name in zip(checkpoints, names):
        model = copy.deepcopy(plain)
        load_weights('student', model, path)
        alone = names.count(name) == 1 and name not in taken
        found[name if alone else path] = model
    return found


def _kernels(model: BaseRecognizer, modules: Sequence[str]) -> list[Tensor]:
    """Weights of the convolutions inside ``modules``."""
    found = kernels(model.named_parameters())
    return [kernel for name, kernel in found.items() if belongs(name, modules)]


def _loader(config: Config, clips: Optional[str], most: int) -> tuple[DataLoader, int]:
    """Held-out clips, one view of each, and how many there are."""
    settings = config.to_dict()
    data = settings.get('test_dataloader')
    if not data:
        raise ValueError('the config has no test_dataloader to take clips from')
    dataset = dataset_of(data)
    # a test may show many views of a clip
    dataset['pipeline'] = dataset_of(settings.get('val_dataloader') or data)['pipeline']
    if clips is not None:
        dataset['ann_file'] = clips
    around = (settings.get('train_dataloader') or {}).get('dataset') or {}
    extra = {key: around[key] for key in ('oversample', 'recipe') if key in around}
    seeded: Any = SeededDataset(dataset, **extra)
    count = min(most, len(seeded))
    chosen = [i * len(seeded) // count for i in range(count)]
    loader = DataLoader(
        seeded,
        batch_sampler=[chosen[i : i + _BATCH] for i in range(0, count, _BATCH)],
        num_workers=data.get('num_workers', 0),
        collate_fn=pseudo_collate,
    )
    return loader, count


@torch.no_grad()
def _meetings(
    distiller: VideoDistiller,
    teacher: RecognizerTeacher,
    students: Mapping[str, BaseRecognizer],
    places: Mapping[str, Pair],
    loader: DataLoader,
) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Stage, student, its feature and the teacher's at one size, batch by batch."""
    reader = TapReader(distiller.student, [pair.student for pair in places.values()])
    probe('student', distiller.student, distiller.view, reader)
    for batch in loader:
        data = distiller.data_preprocessor(batch, training=True)
        samples = data['data_samples']
        views = distiller.views_of(data['inputs'])
        outputs = teacher(views, samples).wait()
        clip = views[distiller.own_view(views, samples)]
        for name, student in students.items():
            recording = reader.recording(student.eval())
            with recording:
                student.extract_feat(clip, stage='head')
            features = reader.features(recording, len(samples))
            for stage, pair in places.items():
                theirs = outputs.features[pair.teacher]
                yield stage, name, *match_size(features[pair.student], theirs)
