"""Self-supervised teachers on Motions: a backbone learns a task, then the classes.

No label is read for the task. Teachers train for longer than students: what they
learned is what distillation saves.
"""

data = 'motions'
environment = dict(MMVKD_SIZE='32')
requires = {
    'data/motions/motions_train_list.txt': (
        'make it with: python tools/data/make_motions.py data/motions'
    )
}
_tasks = dict(
    sorting='frame sorting',
    registration='frame registration',
    coherence='temporal coherence',
    odd_one_out='odd-one-out',
)
_longer = {'train_cfg.max_epochs': 20, 'param_scheduler.1.end': 20}
runs = {
    f'{task}_pretext': dict(
        config=f'mmvkd::pretext/{task}_tsm_r50.py', seed=0, options=_longer
    )
    for task in _tasks
}
_teachers = {
    'tsm_r50': dict(config='mmvkd::teachers/tsm_r50.py', title='TSM-R50, labels alone'),
    **{
        task: dict(
            config=f'mmvkd::teachers/{task}_tsm_r50.py',
            needs={f'{task}_pretext': 'model.backbone.init_cfg.checkpoint'},
            title=f'TSM-R50, {title}',
        )
        for task, title in _tasks.items()
    },
}
