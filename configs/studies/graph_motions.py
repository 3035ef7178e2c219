"""Graphs of four self-supervised teachers on Motions, against what is simpler.

KD of all four is the KL counterpart of the uniform logits graph: of fixed weights, KL
sees the teachers' mean alone. One teacher is replaced by one that knows nothing, under
uniform and under learned edges.
"""

_base_ = './_self_supervised.py'

name = 'graph_motions'
title = 'Graphs of self-supervised teachers on Motions: four TSM-R50 to TSM-R18'
seeds = [0]
student = 'student'
baselines = ['student', 'kd', 'dist']
runs = {
    name: dict(teacher, seed=0, options=_base_._longer)
    for name, teacher in _base_._teachers.items()
}
_thrice = dict(seeds=[0, 1, 2])
_kd = 'mmvkd::distill/kd_tsm_r50_to_r18.py'
_all = list(_base_._tasks)
_graph = dict(config='mmvkd::distill/graph_tsm_r50_to_r18.py', needs=_all)
_logits = 'model.heads.logits_graph'
_representation = 'model.heads.representation_graph'
_without_logits = {f'{_logits}.loss_weight': 0}
_without_representation = {f'{_representation}.loss_weight': 0}
_uniform = {f'{_logits}.edges': 'uniform', f'{_representation}.edges': 'uniform'}
_learned = {f'{_logits}.edges': 'learned', f'{_representation}.edges': 'learned'}
_random = {'model.teachers.coherence.checkpoint': 'random'}
_but_one = dict(_graph, needs=[task for task in _all if task != 'coherence'])
methods = dict(
    student=dict(_thrice, config='mmvkd::students/tsm_r18.py', title='student alone'),
    kd=dict(_thrice, config=_kd, needs=['tsm_r50'], title='KD, labels alone'),
    dist=dict(
        _thrice,
        config='mmvkd::distill/dist_tsm_r50_to_r18.py',
        needs=['tsm_r50'],
        title='DIST, labels alone',
    ),
    graph=dict(_thrice, **_graph, title='both graphs'),
    **{
        f'kd_{task}': dict(
            config=_kd,
            needs={task: 'model.teachers.tsm_r50.checkpoint'},
            title=f'KD, {title}',
        )
        for task, title in _base_._tasks.items()
    },
    kd_all=dict(
        config='mmvkd::distill/kd_self_supervised_r50_to_r18.py',
        needs=_all,
        title='KD, all four',
    ),
    dist_all=dict(
        config='mmvkd::distill/dist_self_supervised_r50_to_r18.py',
        needs=_all,
        title='DIST, all four',
    ),
    logits=dict(_graph, options=_without_representation, title='logits graph'),
    logits_uniform=dict(
        _graph,
        options=dict(_without_representation, **_uniform),
        title='logits graph, uniform',
    ),
    representation=dict(_graph, options=_without_logits, title='representation graph'),
    uniform=dict(_graph, options=_uniform, title='both, uniform'),
    learned=dict(_graph, options=_learned, title='both, learned'),
    random_uniform=dict(
        _but_one,
        options=dict(_random, **_uniform),
        title='both, uniform, a teacher random',
    ),
    random_learned=dict(
        _but_one,
        options=dict(_random, **_learned),
        title='both, learned, a teacher random',
    ),
)
