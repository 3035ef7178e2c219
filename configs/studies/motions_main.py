"""All methods on Motions beside what they are compared with.

The graph has four self-supervised teachers, the others one that learned from labels;
the row before the last has all heads at once. The last says what the student gains
from three times the epochs instead.
"""

_base_ = './_self_supervised.py'

name = 'motions_main'
title = 'All methods on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'fitnets', 'student_longer']
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
_rows = dict(
    zscore_kd=('z-scored KD', _base_._tsm),
    fitnets=('FitNets', _base_._online),
    collaborative=('collaborative', _base_._tsm),
    staged=('staged', _base_._online),
    combined=('graphs, spectrum, parameters and stages', _base_._online),
)
_all = list(_base_._tasks)
runs = {**_base_._pretexts, **_base_._teachers, **_base_._stores}
methods = dict(
    student=_base_._student,
    kd=_base_._kd,
    dist=_base_._dist,
    graph=dict(
        config=_pair.format('graph'),
        needs=[*_all, *_base_._stores],
        options=_base_._views,
        title='graphs of four self-supervised teachers',
    ),
    **{
        name: dict(run, config=_pair.format(name), title=title)
        for name, (title, run) in _rows.items()
    },
    student_longer=dict(
        _base_._student, options=_base_._longer, title='student alone, 24 epochs'
    ),
)
