"""As weak_motions, on skyline: 40 % of the labels of small real clips are wrong.

The teacher learned from correct labels. Schedules and settings are those of the longer
rows of weak_motions. The table is of validation clips, so no epoch is chosen by them.
"""

_base_ = './_skyline.py'

name = 'weak_skyline'
title = 'Wrong labels on skyline, motion: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'zscore_kd', 'dist']
options = {
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 2,
    'param_scheduler.1.end': 24,
    'default_hooks.checkpoint.save_best': None,
}
_set = 'train_dataloader.dataset'
_weak = {
    **_base_._views,
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.noise': 0.4,
}
_refined = {**_weak, **_base_._refining}
_longer = {
    'train_dataloader.sampler.views': 60,
    'train_cfg.max_epochs': 60,
    'param_scheduler.1.end': 60,
}
_rows = dict(
    dist=('DIST', _base_._tsm, _weak),
    staged_refined=('staged, labels refined', _base_._online, _refined),
    zscore_kd=('z-scored KD', _base_._tsm, _weak),
    collaborative=('collaborative', _base_._tsm, _weak),
    kd=('KD', _base_._tsm, _weak),
)
methods = dict(
    **{
        name: dict(
            run,
            config=f'mmvkd::distill/{name.removesuffix("_refined")}_tsm_r50_to_r18.py',
            options=options,
            title=title,
        )
        for name, (title, run, options) in _rows.items()
    },
    student=dict(
        _base_._student, options={**_weak, 'train_dataloader.sampler.views': 24}
    ),
    student_longer=dict(
        _base_._student,
        options={**_weak, **_longer},
        seeds=[0],
        title='student alone, 60 epochs',
    ),
)
