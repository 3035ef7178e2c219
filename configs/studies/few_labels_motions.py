"""A tenth of the labels on Motions, for a teacher, its students and the student alone.

The teacher first learns a pretext task on all clips, without labels, then the classes
on the labeled clips. Its students see all clips, for as many steps as the student alone
takes on the labeled clips. The last rows give the student alone what may replace the
teacher: more than twice the steps, or the teacher's pretext task.
"""

_base_ = './_self_supervised.py'

name = 'few_labels_motions'
title = 'A tenth of the labels on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'kd_9', 'zscore_kd', 'dist', 'dist_9']
options = {'train_cfg.max_epochs': 16, 'param_scheduler.1.end': 16}
_set = 'train_dataloader.dataset'
_weak = {
    **_base_._views,
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.labeled': 0.1,
}
# ten epochs of these clips are one of all
_labeled_only = {
    epochs: {
        **_weak,
        f'{_set}.labeled_only': True,
        'train_dataloader.sampler.views': epochs,
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': 10,
        'param_scheduler.1.end': epochs,
        'default_hooks.checkpoint.interval': 10,
    }
    for epochs in (120, 160, 400)
}
_refined = {**_weak, **_base_._refining}
_small = {'model.backbone.depth': 18, 'model.cls_head.in_channels': 512}
_task = _base_._pretexts['registration_pretext']
_after_task = dict(registration_pretext=_base_._weights)
_pair = 'mmvkd::distill/{}_tsm_r50_to_r18.py'
runs = dict(
    registration_pretext=_task,
    tsm_r50=dict(
        config='mmvkd::teachers/registration_tsm_r50.py',
        needs=_after_task,
        options=_labeled_only[120],
        title='TSM-R50, frame registration',
    ),
    kept=dict(options=_weak),
    small_pretext=dict(_task, options={**_task['options'], **_small}),
)
_rows = dict(
    collaborative=('collaborative', _base_._tsm, _weak),
    dist=('DIST', _base_._tsm, _weak),
    zscore_kd=('z-scored KD', _base_._tsm, _weak),
    staged=('staged', _base_._online, _weak),
    kd=('KD', _base_._tsm, _weak),
    staged_refined=('staged, labels refined', _base_._online, _refined),
    dist_refined=('DIST, labels refined', _base_._tsm, _refined),
    **{
        f'{head}_9': (
            f'{head.upper()}, weight 9',
            _base_._tsm,
            {**_weak, f'model.heads.{head}.loss_weight': 9},
        )
        for head in ('kd', 'dist')
    },
)
methods = dict(
    **{
        name: dict(
            run,
            config=_pair.format(name.removesuffix('_refined').removesuffix('_9')),
            options=options,
            title=title,
        )
        for name, (title, run, options) in _rows.items()
    },
    student=dict(_base_._student, options=_labeled_only[160]),
    student_pretext=dict(
        config='mmvkd::teachers/registration_tsm_r50.py',
        needs=dict(small_pretext=_base_._weights),
        options={**_labeled_only[160], **_small},
        title='student alone, after frame registration',
    ),
    student_longer=dict(
        _base_._student,
        options=_labeled_only[400],
        seeds=[0],
        title='student alone, two and a half times the steps',
    ),
)
