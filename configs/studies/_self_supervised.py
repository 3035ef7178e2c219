"""Self-supervised teachers: a backbone learns a task, then the classes.

No label is read for the task. Teachers train for longer than students: what they
learned is what distillation saves.
"""

_tasks = dict(
    sorting='frame sorting',
    registration='frame registration',
    coherence='temporal coherence',
    odd_one_out='odd-one-out',
)
_pretexts = {
    f'{task}_pretext': dict(config=f'mmvkd::pretext/{task}_tsm_r50.py', seed=0)
    for task in _tasks
}
_teachers = {
    task: dict(
        config=f'mmvkd::teachers/{task}_tsm_r50.py',
        needs={f'{task}_pretext': 'model.backbone.init_cfg.checkpoint'},
        title=f'TSM-R50, {title}',
    )
    for task, title in _tasks.items()
}
