"""Graphs of self-supervised teachers on Motions where a tenth of the labels is there.

Teachers learn their tasks from all clips, then the classes from the clips with a label.
Here labels teach a student little, so what it is told counts: also by a random teacher,
in the place of the one that helps KD least (coherence) or most (registration), under
uniform and under learned edges. One row has registration's teacher alone.
"""

_base_ = './few_labels_motions.py'

name = 'few_labels_graph'
title = 'A tenth of the labels on Motions: four self-supervised TSM-R50 to TSM-R18'
baselines = ['student', 'kd_all', 'dist_all']
_weak = _base_._weak
_graph = 'mmvkd::distill/graph_tsm_r50_to_r18.py'
_of_all = 'mmvkd::distill/{}_self_supervised_r50_to_r18.py'
_four = list(_base_._of_four.needs)
_edges = {
    edges: {
        f'model.heads.{head}.edges': edges
        for head in ('logits_graph', 'representation_graph')
    }
    for edges in ('uniform', 'learned')
}
_random = {
    f'random{row}_{edges}': dict(
        config=_graph,
        needs=[need for need in _four if need.removesuffix('_store') != task],
        options={
            **_weak,
            **options,
            f'model.teachers.{task}.checkpoint': 'random',
        },
        title=f'both graphs, {edges} edges, {task} random',
    )
    for row, task in (('', 'coherence'), ('_registration', 'registration'))
    for edges, options in _edges.items()
}
runs = dict(
    _delete_=True,
    **_base_._pretexts,
    **{
        task: dict(teacher, options=_base_._labeled_only[120])
        for task, teacher in _base_._teachers.items()
    },
    **{task: dict(store, options=_weak) for task, store in _base_._stores.items()},
)
methods = dict(
    _delete_=True,
    **{
        edges: dict(
            config=_graph,
            needs=_four,
            options={**_weak, **options},
            title=f'both graphs, {edges} edges',
        )
        for edges, options in _edges.items()
    },
    **_random,
    student=_base_.methods['student'],
    kd_all=dict(
        config=_of_all.format('kd'),
        needs=_four,
        options=_weak,
        title='KD of the four, averaged',
    ),
    alone=dict(
        config=_graph,
        needs=['registration', 'registration_store'],
        environment=dict(MMVKD_TEACHERS='registration'),
        options=_weak,
        title='both graphs, registration alone',
    ),
    graph=dict(config=_graph, needs=_four, options=_weak, title='both graphs'),
    dist_all=dict(
        config=_of_all.format('dist'),
        needs=_four,
        options=_weak,
        title='DIST of the four, averaged',
    ),
)
