"""Methods on Motions from a teacher that is better than the student alone.

The teacher of motions_main learned for 20 epochs, and the student alone comes as far in
its 24. This one learned for 40; all else is as there.
"""

_base_ = './_motions.py'

name = 'motions_strong'
title = 'A stronger teacher on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'zscore_kd', 'dist', 'fitnets']
options = {'train_cfg.max_epochs': 24, 'param_scheduler.1.end': 24}
runs = dict(
    tsm_r50=dict(options={'train_cfg.max_epochs': 40, 'param_scheduler.1.end': 40})
)
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
_rows = dict(
    dist=('DIST', _base_._tsm),
    zscore_kd=('z-scored KD', _base_._tsm),
    collaborative=('collaborative', _base_._tsm),
    staged=('staged', _base_._online),
    fitnets=('FitNets', _base_._online),
    kd=('KD', _base_._tsm),
)
methods = {
    name: dict(run, config=_pair.format(name), title=title)
    for name, (title, run) in _rows.items()
}
methods['student'] = _base_._student
