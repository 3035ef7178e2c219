"""A small project: eight videos, and a plain and a distillation config over them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

from mmengine.config import Config
from toys import tiny_tsm
from videos import dataset, write_list

TOOLS = Path(__file__).parents[2] / 'tools'


def load_tool(path: Path) -> ModuleType:
    """Import a script."""
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> Callable[[list], Any]:
    """The ``main`` of one of our scripts."""
    return load_tool(TOOLS / f'{name}.py').main


def loader(annotations: str, train: bool) -> dict[str, Any]:
    """Config of a data loader over a list."""
    sampler = 'mmvkd.SeededSampler' if train else 'DefaultSampler'
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type=sampler, shuffle=train),
        dataset=dataset(annotations, augment=train, test_mode=not train),
    )


class Project:
    """Writes configs into a folder that has the videos."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train = write_list(folder, 8, 'train')
        self.test = write_list(folder, 6, 'test')

    def config(self, name: str, **changes: Any) -> str:
        """Write a config of the plain student, with top-level keys replaced."""
        metric = dict(
            type='AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1, 2)))
        )
        settings: dict[str, Any] = dict(
            default_scope='mmaction',
            custom_imports=dict(imports=['mmvkd.compat']),
            model=tiny_tsm(),
            train_dataloader=loader(self.train, True),
            val_dataloader=loader(self.test, False),
            test_dataloader=loader(self.test, False),
            val_evaluator=metric,
            test_evaluator=metric,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1),
            val_cfg=dict(type='ValLoop'),
            test_cfg=dict(type='TestLoop'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
            default_hooks=dict(checkpoint=dict(type='mmvkd.AtomicCheckpointHook')),
            custom_hooks=[
                dict(type='mmvkd.SeedingHook'),
                dict(type='mmvkd.ExactResumeHook'),
            ],
            randomness=dict(seed=3),
            log_level='WARNING',
            work_dir=str(self.folder / 'work' / name),
        )
        settings.update(changes)
        path = self.folder / f'{name}.py'
        Config(settings).dump(str(path))
        return str(path)

    def distiller(self, name: str, **changes: Any) -> str:
        """Write a config of a distiller of the plain student."""
        model: dict[str, Any] = dict(
            type='mmvkd.VideoDistiller',
            student=tiny_tsm(),
            teachers=dict(
                t=dict(
                    type='mmvkd.RecognizerTeacher',
                    model=tiny_tsm(),
                    checkpoint=self.teacher,
                )
            ),
            heads=dict(
                kd=dict(type='mmvkd.KDHead'),
                fitnets=dict(type='mmvkd.FitNetsHead', tap='backbone.layer4'),
            ),
        )
        model.update(changes.pop('model', {}))
        return self.config(name, model=model, **changes)

    @property
    def teacher(self) -> str:
        """A teacher's checkpoint."""
        return str(self.folder / 'teacher.pth')
