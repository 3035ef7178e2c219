"""Self-supervised teachers: a backbone learns a pretext task, then the classes.

The task uses no labels. Sorting and odd-one-out start from the weights of temporal
coherence.
"""

_base_ = './_motions.py'

_tasks = dict(
    sorting='frame sorting',
    registration='frame registration',
    coherence='temporal coherence',
    odd_one_out='odd-one-out',
)
_from_nothing = {'train_cfg.max_epochs': 18, 'param_scheduler.1.end': 18}
_going_on = {'train_cfg.max_epochs': 8, 'param_scheduler.1.end': 8}
_finetuned = {'train_cfg.max_epochs': 12, 'param_scheduler.1.end': 12}
_weights = 'model.backbone.init_cfg.checkpoint'
_after_coherence = dict(needs={'coherence_pretext': _weights}, options=_going_on)
_pretexts = {
    f'{task}_pretext': dict(
        config=f'mmvkd::pretext/{task}_tsm_r50.py',
        seed=0,
        **(
            _after_coherence
            if task in ('sorting', 'odd_one_out')
            else dict(options=_from_nothing)
        ),
    )
    for task in _tasks
}
_teachers = {
    task: dict(
        config=f'mmvkd::teachers/{task}_tsm_r50.py',
        seed=0,
        needs={f'{task}_pretext': _weights},
        options=_finetuned,
        title=f'TSM-R50, {title}',
    )
    for task, title in _tasks.items()
}
_stores = {
    f'{task}_store': dict(
        config='mmvkd::distill/graph_tsm_r50_to_r18.py',
        caches=task,
        needs=[task],
        seed=0,
        options=_base_._views,
    )
    for task in _tasks
}
_of_four = dict(needs=[*_tasks, *_stores])
