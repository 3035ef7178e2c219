"""One to four self-supervised teachers on Motions, in the order of their base file.

Graphs have three seeds, KD one.
"""

_base_ = './_self_supervised.py'

name = 'teacher_count'
title = 'One to four self-supervised teachers on Motions: TSM-R50 to TSM-R18'
_all = list(_base_._tasks)
_methods = dict(
    graph=('mmvkd::distill/graph_tsm_r50_to_r18.py', 'both graphs', [0, 1, 2]),
    kd=('mmvkd::distill/kd_self_supervised_r50_to_r18.py', 'KD', [0]),
)
baselines = ['student', *(f'kd_{count}' for count in range(1, 5))]
runs = {**_base_._pretexts, **_base_._teachers, **_base_._stores}
methods = dict(
    student=_base_._student,
    **{
        f'{name}_{count}': dict(
            config=config,
            needs=[*_all[:count], *list(_base_._stores)[:count]],
            environment=dict(MMVKD_TEACHERS=','.join(_all[:count])),
            options=_base_._views,
            seeds=seeds,
            title=f'{title}, {count} teacher{"s" if count > 1 else ""}',
        )
        for name, (config, title, seeds) in _methods.items()
        for count in range(1, 5)
    },
)
