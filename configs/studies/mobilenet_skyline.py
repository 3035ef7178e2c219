"""A network for phones on skyline, taught by the teacher of skyline_main.

Schedules and settings are those of skyline_main with all labels. The table is of
validation clips, so no epoch is chosen by them.
"""

_base_ = './skyline_main.py'

name = 'mobilenet_skyline'
title = 'A network for phones on skyline, motion: TSM-R50 to TSM-MobileNetV2'
baselines = ['student', 'kd', 'zscore_kd', 'dist']
labels = {'_delete_': True, 'all': _base_.labels['all']}
_pair = 'mmvkd::distill/{}_tsm_r50_to_tsm_mobilenet_v2.py'
runs = dict(kept=dict(config=_pair.format('collaborative')))
_titles = dict(
    collaborative='collaborative', dist='DIST', zscore_kd='z-scored KD', kd='KD'
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
        name: dict(
            _base_._kept, config=_pair.format(name), options=_base_._weak, title=title
        )
        for name, title in _titles.items()
    },
    'student': _alone,
    'student_longer': dict(
        _alone,
        options={**_base_._labeled_only, **_longer},
        seeds=[0],
        title='student alone, 38 epochs',
    ),
}
