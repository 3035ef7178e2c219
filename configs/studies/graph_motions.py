"""Graphs of four self-supervised teachers on Motions, against what is simpler.

KD of all four is the KL counterpart of the uniform logits graph: of fixed weights, KL
sees the teachers' mean alone. The teachers that help KD least and most are each
replaced by one that knows nothing, under uniform and under learned edges, and then all.
Rows are compared after 8 epochs, the main ones also after 24.
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
_with_random = ('uniform', 'learned', 'logits_uniform', 'logits_learned')
_replaced = dict(
    random=('coherence', 'coherence random'),
    random_registration=('registration', 'registration random'),
)
# the best two, and one of them replaced: which is random, if any
_two = dict(
    two=(['registration', 'odd_one_out'], None),
    two_random=(['registration', 'odd_one_out'], 'odd_one_out'),
    two_swapped_random=(['odd_one_out', 'registration'], 'registration'),
)
# after 24 epochs the student alone has flattened
schedules = dict(epochs8=dict(epochs=8), epochs24=dict(epochs=24))
_main = dict(
    student=_base_._student,
    kd={**_base_._kd, 'title': 'KD, labels alone'},
    dist={**_base_._dist, 'title': 'DIST, labels alone'},
    graph=dict(config=_graph, needs=_four, title='both graphs'),
)
_once = dict(settings=['epochs8'])
_thrice = dict(_once, seeds=[0, 1, 2])  # where one seed did not tell them apart
methods = dict(
    **{
        name: dict(run, seeds=[0, 1, 2], options=_base_._scheduled)
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
    },
    **{
        f'{row}_{name}': dict(
            _thrice if row == 'random' and 'logits' not in name else _once,
            config=_graph,
            needs=[need for need in _four if task not in need],
            options={
                **_views,
                f'model.teachers.{task}.checkpoint': 'random',
                **_variants[name][1],
            },
            title=f'{_variants[name][0]}, {title}',
        )
        for row, (task, title) in _replaced.items()
        for name in _with_random
    },
    **{
        f'{row}_{edges}': dict(
            _once,
            config=_graph,
            needs=[need for need in _four if need.removesuffix('_store') in known],
            environment=dict(MMVKD_TEACHERS=','.join(tasks)),
            options={
                **_views,
                **({f'model.teachers.{lost}.checkpoint': 'random'} if lost else {}),
                **_variants[f'logits_{edges}'][1],
            },
            title=f'logits graph of two, {edges}'
            + (f', {_base_._tasks[lost]} random' if lost else ''),
        )
        for row, (tasks, lost) in _two.items()
        for known in [set(tasks) - {lost}]
        for edges in ('uniform', 'learned')
    },
    random_all=dict(
        _once,
        config=_graph,
        options={
            **_views,
            **{f'model.teachers.{task}.checkpoint': 'random' for task in _base_._tasks},
        },
        title='both, all teachers random',
    ),
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
