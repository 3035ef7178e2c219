"""What the edges of the graphs are worth on Motions when a teacher knows nothing.

Of the four teachers, the one that helps KD least (coherence) and the one that helps it
most (registration) are each replaced by a random one, with uniform and learned edges;
then two and three (the least helpful first) and all four. For the logits graph, one of
the best two teachers is replaced likewise.
"""

_base_ = './graph_motions.py'

name = 'graph_edges'
title = 'Edges of graphs with random teachers on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'uniform']
schedules = dict(_delete_=True, epochs8=dict(epochs=8))
_replaced = dict(  # how they are called, and their names
    random=('coherence', ['coherence']),
    random_registration=('registration', ['registration']),
    random_two=('coherence, sorting', ['coherence', 'sorting']),
    random_three=('all but registration', ['coherence', 'sorting', 'odd_one_out']),
)
_thrice = ('random', 'random_registration', 'random_two')
_best = ['registration', 'odd_one_out']
_two = dict(  # whose outputs are kept, and which is random
    two=(_best, []),
    two_random=(_best[:1], _best[1:]),
    two_swapped_random=(_best[1:], _best[:1]),
)
_both = ('uniform', 'learned')
_logits = ('logits_uniform', 'logits_learned')
methods = dict(
    _delete_=True,
    **{row: _base_.methods[row] for row in ('student', *_both, *_logits)},
    **{
        f'{row}_{name}': dict(
            config=_base_._graph,
            needs=[
                need for need in _base_._four if need.removesuffix('_store') not in lost
            ],
            options={
                **_base_._views,
                **{f'model.teachers.{task}.checkpoint': 'random' for task in lost},
                **_base_._variants[name][1],
            },
            seeds=[0, 1, 2] if row in _thrice and name in _both else [0],
            title=f'{_base_._variants[name][0]}, {who} random',
        )
        for row, (who, lost) in _replaced.items()
        for name in (_both if len(lost) > 1 else (*_both, *_logits))
    },
    **{
        f'{row}_{edges}': dict(
            config=_base_._graph,
            needs=[*known, *(f'{task}_store' for task in known)],
            environment=dict(MMVKD_TEACHERS=','.join([*known, *lost])),
            options={
                **_base_._views,
                **{f'model.teachers.{task}.checkpoint': 'random' for task in lost},
                **_base_._variants[f'logits_{edges}'][1],
            },
            title=f'{", ".join(["logits graph of two", edges, *lost])}'
            + ' random' * len(lost),
        )
        for row, (known, lost) in _two.items()
        for edges in _both
    },
    random_all=dict(
        config=_base_._graph,
        options={
            **_base_._views,
            **{f'model.teachers.{task}.checkpoint': 'random' for task in _base_._tasks},
        },
        title='both, all four random',
    ),
)
