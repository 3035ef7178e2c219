"""The main job on real clips, where they lie beside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_project import TOOLS

SKYLINE = TOOLS.parent.parent / 'shared' / 'data' / 'skyline'
CONFIG = 'mmvkd::distill/graph_tsm_r50_to_r18.py'
OPTIONS = [
    '--cfg-options',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=4',
    *(
        f'model.teachers.{task}.checkpoint=random'
        for task in ('sorting', 'registration', 'coherence', 'odd_one_out')
    ),
]


@pytest.mark.skipif(not SKYLINE.is_dir(), reason=f'no clips in {SKYLINE}')
def test_two_processes_distil_a_student_from_real_clips_and_score_it(
    tmp_path: Path,
) -> None:
    for split, count in (('train', 16), ('val', 8)):
        lines = (SKYLINE / f'motion_{split}.txt').read_text().splitlines()
        chosen = lines[:: len(lines) // count][:count]
        (tmp_path / f'motion_{split}.txt').write_text('\n'.join(chosen))
    (tmp_path / 'videos').symlink_to(SKYLINE / 'videos')
    work_dir, metrics = tmp_path / 'work', tmp_path / 'metrics.json'

    def run(script: str, *args: str) -> None:
        env = dict(MMVKD_DATA='skyline', MMVKD_SKYLINE=str(tmp_path))
        done = subprocess.run(
            [str(TOOLS / script), CONFIG, *args, *OPTIONS],
            capture_output=True,
            text=True,
            env={**os.environ, **env, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'},
            timeout=600,
        )
        assert done.returncode == 0, done.stderr[-2000:]

    run('dist_train.sh', '2', '--work-dir', str(work_dir))
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    run('dist_test.sh', checkpoint, '2', '--out', str(metrics))
    assert 0 <= json.loads(metrics.read_text())['acc/top1'] <= 1
