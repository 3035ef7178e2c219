"""The whole chain on small Motions: pretext tasks, teachers from them, students.

The tasks use no labels. Teachers train for longer than students: distillation spares
the students that training.
"""

name = 'quickstart'
title = 'Quickstart: two small self-supervised teachers on Motions'
data = 'motions'
environment = dict(MMVKD_SIZE='32', MMVKD_DECODER='{{$MMVKD_DECODER:kept}}')
options = {'train_cfg.max_epochs': 3, 'param_scheduler.1.end': 3}
seeds = [0]
student = 'student'
_tasks = dict(registration='frame registration', coherence='temporal coherence')
_small = {'model.backbone.depth': 18, 'model.cls_head.in_channels': 512}
_task_epochs = {'train_cfg.max_epochs': 10, 'param_scheduler.1.end': 10}
_epochs = {'train_cfg.max_epochs': 8, 'param_scheduler.1.end': 8}
# side by side, a core each
runs = {
    **{
        f'{task}_pretext': dict(
            config=f'mmvkd::pretext/{task}_tsm_r50.py',
            seed=0,
            options={**_small, **_task_epochs},
        )
        for task in _tasks
    },
    **{
        task: dict(
            config=f'mmvkd::teachers/{task}_tsm_r50.py',
            needs={f'{task}_pretext': 'model.backbone.init_cfg.checkpoint'},
            seed=0,
            options={**_small, **_epochs},
            title=f'TSM-R18, {title}',
        )
        for task, title in _tasks.items()
    },
}
# two processes of half the batch, through tools/dist_train.sh
_batch = {'train_dataloader.batch_size': 8}
_shared = dict(processes=2, options=_batch)
_model = 'mmvkd::students/tsm_r18.py'
methods = dict(
    student=dict(_shared, config=_model, title='student alone'),
    graph=dict(
        _shared,
        config='mmvkd::distill/graph_tsm_r50_to_r18.py',
        needs=list(_tasks),
        environment=dict(MMVKD_TEACHERS=','.join(_tasks)),
        options={
            **_batch,
            **{f'model.teachers.{task}.model.config': _model for task in _tasks},
        },
        title='graph-distilled from both',
    ),
    collaborative=dict(
        _shared,
        config='mmvkd::distill/collaborative_tsm_r50_to_r18.py',
        needs=dict(registration='model.teachers.tsm_r50.checkpoint'),
        options={**_batch, 'model.teachers.tsm_r50.model.config': _model},
        title='collaborative, from registration',
    ),
)
