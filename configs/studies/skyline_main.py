"""All methods on skyline, by direction, with few labels and with all.

Teachers and the student alone learn the classes from the labeled clips, for as many
steps as all clips would take; teachers after a pretext task take half of these steps.
Students with teachers see all clips. The table is of validation clips, so no epoch is
chosen by them.
"""

_base_ = './_skyline.py'

name = 'skyline_main'
title = 'All methods on skyline, motion: TSM-R50 to TSM-R18'
options = {
    'train_cfg.max_epochs': 15,
    'param_scheduler.1.end': 15,
    'default_hooks.checkpoint.save_best': None,
}
# who has a pretext's weights learns the classes in half of the steps
labels = dict(
    quarter=dict(labeled=0.25, epochs=60, finetuned=30, interval=4),
    all=dict(labeled=1, epochs=15, finetuned=8, interval=1),
    tenth=dict(labeled=0.1, epochs=150, finetuned=75, interval=10),
)
_set = 'train_dataloader.dataset'
_weak = {
    **_base_._views,
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.labeled': '{labeled}',
}
_labeled_only, _finetuned = (
    {
        **_weak,
        f'{_set}.labeled_only': True,
        'train_dataloader.sampler.views': epochs,
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': '{interval}',
        'param_scheduler.1.end': epochs,
        'default_hooks.checkpoint.interval': '{interval}',
    }
    for epochs in ('{epochs}', '{finetuned}')
)
runs = {
    'tsm_r50': dict(options=_labeled_only, seed=0),
    **{task: dict(run, options=_finetuned) for task, run in _base_._teachers.items()},
    **_base_._stores,
}
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
_same_four = 'mmvkd::distill/{}_self_supervised_r50_to_r18.py'
_kept = dict(needs=['tsm_r50', 'kept'])
_online = dict(needs=['tsm_r50'])
_rows = dict(
    kd=('KD', _kept),
    dist=('DIST', _kept),
    collaborative=('collaborative', _kept),
    staged=('staged', _online),
    graph=('graphs of four teachers', _base_._of_four),
    zscore_kd=('z-scored KD', _kept),
    fitnets=('FitNets', _online),
    combined=('all heads at once', _online),
)
methods = dict(
    student=dict(_base_._student, options=_labeled_only),
    **{
        name: dict(run, config=_pair.format(name), options=_weak, title=title)
        for name, (title, run) in _rows.items()
    },
    **{
        f'{name}_all': dict(
            _base_._of_four,
            config=_same_four.format(name),
            options=_weak,
            seeds=seeds,
            title=f'{name.upper()} of the four',
        )
        for name, seeds in (('dist', [0, 1, 2]), ('kd', [0]))
    },
)
