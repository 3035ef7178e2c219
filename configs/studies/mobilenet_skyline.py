"""A network for phones on skyline, taught by the teacher of skyline_main.

Schedules and settings are those of skyline_main with all labels. The table is of
validation clips, so no epoch is chosen by them.
"""

_base_ = './skyline_main.py'

name = 'mobilenet_skyline'
title = 'A network for phones on skyline, motion: TSM-R50 to TSM-MobileNetV2'
labels = {'_delete_': True, 'all': _base_.labels['all']}
_pair = 'mmvkd::distill/{}_tsm_r50_to_tsm_mobilenet_v2.py'
runs = dict(kept=dict(config=_pair.format('collaborative')))
_rows = dict(
    collaborative=('collaborative', _base_._kept),
    dist=('DIST', _base_._kept),
    zscore_kd=('z-scored KD', _base_._kept),
    kd=('KD', _base_._kept),
    fitnets=('FitNets', _base_._online),
    staged=('staged', _base_._online),
)
_alone = dict(_base_.methods['student'], config='mmvkd::students/tsm_mobilenet_v2.py')
_longer = {
    'train_dataloader.sampler.views': 38,
    'train_cfg.max_epochs': 38,
    'param_scheduler.1.end': 38,
}
methods = {
    '_delete_': True,
    **{
        name: dict(run, config=_pair.format(name), options=_base_._weak, title=title)
        for name, (title, run) in _rows.items()
    },
    'student': _alone,
    'student_longer': dict(
        _alone,
        options={**_base_._labeled_only, **_longer},
        title='student alone, 38 epochs',
    ),
}
