"""A teacher far ahead of its student, on Motions: TSM-R50 trained for 60 epochs.

With 20 epochs, as in other studies, it gets no further than the student alone with 24.
The last row is the student alone, trained for as many steps as this teacher.
"""

_base_ = './_motions.py'

name = 'strong_teacher'
title = 'From a strong teacher on Motions: TSM-R50 of 60 epochs to TSM-R18'
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'fitnets']
schedules = dict(epochs24=dict(epochs=24))
_longest = {'train_cfg.max_epochs': 60, 'param_scheduler.1.end': 60}
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
_rows = dict(
    kd=('KD', _base_._tsm),
    dist=('DIST', _base_._tsm),
    collaborative=('collaborative', _base_._tsm),
    staged=('staged', _base_._online),
    zscore_kd=('z-scored KD', _base_._tsm),
    fitnets=('FitNets', _base_._online),
)
runs = dict(tsm_r50=dict(options=_longest))
methods = dict(
    student=dict(_base_._student, options=_base_._scheduled),
    **{
        name: dict(
            run, config=_pair.format(name), options=_base_._scheduled, title=title
        )
        for name, (title, run) in _rows.items()
    },
    student_longer=dict(
        _base_._student,
        options={**_base_._views, **_longest},
        title='student alone, 60 epochs',
    ),
)
