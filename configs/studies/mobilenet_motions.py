"""A network for phones on Motions, taught by the teacher of the other studies.

Students train for 24 epochs, as in motions_main.
"""

_base_ = './_motions.py'

name = 'mobilenet_motions'
title = 'A network for phones on Motions: TSM-R50 to TSM-MobileNetV2'
baselines = ['student', 'kd', 'zscore_kd', 'dist']
options = {'train_cfg.max_epochs': 24, 'param_scheduler.1.end': 24}
_pair = 'mmvkd::distill/{}_tsm_r50_to_tsm_mobilenet_v2.py'
runs = dict(kept=dict(config=_pair.format('collaborative')))
_titles = dict(
    dist='DIST', collaborative='collaborative', zscore_kd='z-scored KD', kd='KD'
)
methods = {
    **{
        name: dict(_base_._tsm, config=_pair.format(name), title=title)
        for name, title in _titles.items()
    },
    'student': dict(_base_._student, config='mmvkd::students/tsm_mobilenet_v2.py'),
}
