"""From pretext tasks to a student: four self-supervised teachers on Motions.

A backbone learns a pretext task without labels, then the classes; four such teachers
teach the student, alone and together. All teachers train for longer than the student.
"""

name = 'self_supervised_motions'
title = 'Self-supervised teachers on Motions: four TSM-R50 to TSM-R18'
data = 'motions'
environment = dict(MMVKD_SIZE='32')
options = {'train_cfg.max_epochs': 6, 'param_scheduler.1.end': 6}
seeds = [0, 1, 2]
student = 'student'
baselines = ['student', 'kd', 'dist']
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
_longer = {'train_cfg.max_epochs': 12, 'param_scheduler.1.end': 12}
_once = dict(seed=0, threads=2, options=_longer)
_pretexts = {
    f'{task}_pretext': dict(_once, config=f'mmvkd::pretext/{task}_tsm_r50.py')
    for task in _tasks
}
_teachers = {
    task: dict(
        _once,
        config=f'mmvkd::teachers/{task}_tsm_r50.py',
        needs={f'{task}_pretext': 'model.backbone.init_cfg.checkpoint'},
        title=f'TSM-R50, {_tasks[task]}',
    )
    for task in _tasks
}
runs = dict(
    tsm_r50=dict(
        _once, config='mmvkd::teachers/tsm_r50.py', title='TSM-R50, labels alone'
    ),
    **_pretexts,
    **_teachers,
)
_kd = 'mmvkd::distill/kd_tsm_r50_to_r18.py'
_single = {
    f'kd_{task}': dict(
        config=_kd,
        needs={task: 'model.teachers.tsm_r50.checkpoint'},
        title=f'KD, {_tasks[task]}',
    )
    for task in _tasks
}
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    kd=dict(config=_kd, needs=['tsm_r50'], title='KD, labels alone'),
    dist=dict(
        config='mmvkd::distill/dist_tsm_r50_to_r18.py',
        needs=['tsm_r50'],
        title='DIST, labels alone',
    ),
    **_single,
    graph=dict(
        config='mmvkd::distill/graph_self_supervised_r50_to_r18.py',
        needs=list(_tasks),
        title='graph of all four',
    ),
)
