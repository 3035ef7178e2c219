"""All methods and their baselines on Motions, trained until all have leveled off.

The graph has four self-supervised teachers; KD and DIST from the same four have one
seed. The others have one teacher, which learned from labels. `combined` is all heads at
once.
"""

_base_ = './_self_supervised.py'

name = 'motions_main'
title = 'All methods on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'fitnets']
schedules = dict(epochs24=dict(epochs=24))
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
_rows = dict(
    kd=('KD', _base_._tsm),
    dist=('DIST', _base_._tsm),
    graph=('graphs of four teachers', _base_._of_four),
    collaborative=('collaborative', _base_._tsm),
    staged=('staged', _base_._online),
    zscore_kd=('z-scored KD', _base_._tsm),
    fitnets=('FitNets', _base_._online),
    combined=('all heads at once', _base_._online),
)
_same_four = 'mmvkd::distill/{}_self_supervised_r50_to_r18.py'
runs = {**_base_._pretexts, **_base_._teachers, **_base_._stores}
methods = dict(
    student=dict(_base_._student, options=_base_._scheduled),
    **{
        name: dict(
            run, config=_pair.format(name), options=_base_._scheduled, title=title
        )
        for name, (title, run) in _rows.items()
    },
    **{
        f'{name}_all': dict(
            _base_._of_four,
            config=_same_four.format(name),
            options=_base_._scheduled,
            seeds=[0],
            title=f'{name.upper()} of the four',
        )
        for name in ('kd', 'dist')
    },
)
