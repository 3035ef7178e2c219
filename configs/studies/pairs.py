"""Other pairs on Motions: SlowFast, across families, and TSN.

TSN does not see the order of frames, by which all classes of Motions differ: as a
student, it shows what no method can teach.
"""

_base_ = './_motions.py'

name = 'pairs'
title = 'Other pairs on Motions'
baselines = ['student', 'kd']
pairs = dict(
    slowfast=dict(
        teacher='slowfast_r50', student='slowfast_r18', to='slowfast_r50_to_r18'
    ),
    across=dict(
        teacher='slowfast_r50', student='tsm_r18', to='slowfast_r50_to_tsm_r18'
    ),
    tsn=dict(teacher='tsn_r50', student='tsn_r18', to='tsn_r50_to_r18'),
)
runs = {
    '_delete_': True,
    '{teacher}': dict(
        config='mmvkd::teachers/{teacher}.py', seed=0, options=_base_._longest
    ),
}
_taught = dict(needs=['{teacher}'], options=_base_._views)
methods = dict(
    student=dict(
        config='mmvkd::students/{student}.py',
        options=_base_._views,
        title='student alone',
    ),
    kd=dict(_taught, config='mmvkd::distill/kd_{to}.py', title='KD'),
    collaborative=dict(
        _taught, config='mmvkd::distill/collaborative_{to}.py', title='collaborative'
    ),
    staged=dict(
        _taught,
        config='mmvkd::distill/staged_{to}.py',
        title='staged',
    ),
)
