"""A study of tiny recognizers on tiny videos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config
from small_project import TOOLS, Project
from toys import tiny_tsm

CLASSES = ['a', 'b', 'c', 'd']
RUNS = ['kd-seed0', 'kd-seed1', 'student-seed0', 'student-seed1', 'teacher-seed5']


def slim() -> dict[str, Any]:
    """A recognizer of one stage, whose checkpoint is small."""
    model = tiny_tsm()
    model['backbone'] = dict(
        type='ResNet',
        depth=18,
        pretrained=None,
        num_stages=1,
        strides=(1,),
        dilations=(1,),
        out_indices=(0,),
        norm_eval=False,
    )
    model['cls_head'] = dict(type='TSNHead', num_classes=4, in_channels=64)
    model['cls_head']['average_clips'] = 'prob'
    return model


def teacher_config() -> dict[str, Any]:
    """A teacher that a run makes."""
    return dict(type='mmvkd.RecognizerTeacher', model=slim(), checkpoint='unset')


class StudyProject(Project):
    """Configs of a student, a teacher and a distiller, and a study over them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        checkpoint = dict(
            type='mmvkd.AtomicCheckpointHook', max_keep_ckpts=1, save_best='acc/top1'
        )
        common: dict[str, Any] = dict(
            model=slim(),
            default_hooks=dict(checkpoint=checkpoint),
            custom_imports=dict(imports=['mmvkd'], allow_failed_imports=False),
            # a rate that changes every epoch's score
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        )
        self.student = self.config('student', **common)
        distiller = dict(
            type='mmvkd.VideoDistiller',
            student=slim(),
            teachers=dict(teacher=teacher_config()),
            heads=dict(kd=dict(type='mmvkd.KDHead')),
        )
        self.kd = self.config('kd', **{**common, 'model': distiller})
        self.declare()

    def settings(self) -> dict[str, Any]:
        """Two methods and a teacher, 2 epochs."""
        return dict(
            name='small',
            title='A small study',
            out='out',
            options={'train_cfg.max_epochs': 2},
            seeds=[0, 1],
            student='student',
            classes=CLASSES,
            reversals=[['a', 'b']],
            runs=dict(teacher=dict(config=self.student, seed=5)),
            methods=dict(
                student=dict(config=self.student, title='student alone'),
                kd=dict(config=self.kd, needs=['teacher'], title='KD'),
            ),
        )

    def declare(self, name: str = 'study', **changes: Any) -> str:
        """Write a study file, with fields replaced."""
        path = self.folder / f'{name}.py'
        Config({**self.settings(), **changes}).dump(str(path))
        return str(path)


def start(
    folder: Path, *arguments: str, tool: str = 'study.py', **environment: str
) -> subprocess.Popen:
    """Call a tool in ``folder``."""
    variables = {
        **os.environ,
        'PYTHONPATH': str(TOOLS.parent),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, str(TOOLS / tool), *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def call(folder: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """Call a tool, wait, and give status and output."""
    process = start(folder, *arguments, **more)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def results(folder: Path) -> dict:
    """The results of the study that ran in ``folder``."""
    return json.loads((folder / 'out' / 'results.json').read_text())


def copy(finished: Path, folder: Path) -> Path:
    """Copy what a study left to ``folder``, and give that."""
    shutil.copytree(finished / 'out', folder / 'out')
    return folder
