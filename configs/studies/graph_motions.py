"""Graphs of four self-supervised teachers on Motions, against simpler methods.

KD from all four is the KL counterpart of the uniform logits graph: with fixed weights,
KL sees only the teachers' mean. Rows are compared after 8 epochs, the main ones also
after 24, when the student alone has leveled off.
"""

_base_ = './_self_supervised.py'

name = 'graph_motions'
title = 'Graphs of self-supervised teachers on Motions: four TSM-R50 to TSM-R18'
seeds = [0]
baselines = ['student', 'kd', 'dist']
_graph = 'mmvkd::distill/graph_tsm_r50_to_r18.py'
_views = _base_._views
runs = {**_base_._pretexts, **_base_._teachers, **_base_._stores}
_logits = 'model.heads.logits_graph'
_representation = 'model.heads.representation_graph'
_without_logits = {f'{_logits}.loss_weight': 0}
_without_representation = {
    f'{_logits}.loss_weight': 1,  # as where it is the only head
    f'{_representation}.loss_weight': 0,
}
_uniform = {f'{_logits}.edges': 'uniform', f'{_representation}.edges': 'uniform'}
_learned = {f'{_logits}.edges': 'learned', f'{_representation}.edges': 'learned'}
_variants = dict(
    logits=('logits graph', _without_representation),
    logits_uniform=('logits graph, uniform', {**_without_representation, **_uniform}),
    logits_learned=('logits graph, learned', {**_without_representation, **_learned}),
    representation=('representation graph', _without_logits),
    uniform=('both, uniform', _uniform),
    learned=('both, learned', _learned),
)
_four = list(_base_._of_four.needs)
# after 24 epochs the student alone has flattened
schedules = dict(epochs8=dict(epochs=8), epochs24=dict(epochs=24))
_main = dict(
    student=_base_._student,
    kd={**_base_._kd, 'title': 'KD, labels alone'},
    dist={**_base_._dist, 'title': 'DIST, labels alone'},
    graph=dict(config=_graph, needs=_four, title='both graphs'),
    learned=dict(config=_graph, needs=_four, options=_learned, title='both, learned'),
)
_once = dict(settings=['epochs8'])
_thrice = dict(_once, seeds=[0, 1, 2])  # where one seed did not tell them apart
methods = dict(
    **{
        name: dict(
            run,
            seeds=[0, 1, 2],
            options={**_base_._scheduled, **run.get('options', {})},
        )
        for name, run in _main.items()
    },
    **{
        name: dict(
            _once if 'logits' in name else _thrice,
            config=_graph,
            needs=_four,
            options={**_views, **options},
            title=title,
        )
        for name, (title, options) in _variants.items()
        if name not in _main
    },
    **{
        f'{name}_all': dict(
            _once,
            config=f'mmvkd::distill/{name}_self_supervised_r50_to_r18.py',
            needs=_four,
            options=_views,
            title=f'{name.upper()}, all four',
        )
        for name in ('kd', 'dist')
    },
    **{
        f'kd_{task}': dict(
            _once,
            config='mmvkd::distill/kd_self_supervised_r50_to_r18.py',
            needs=[task, f'{task}_store'],
            environment=dict(MMVKD_TEACHERS=task),
            options=_views,
            title=f'KD, {title}',
        )
        for task, title in _base_._tasks.items()
    },
)
