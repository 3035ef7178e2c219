"""Weak labels on Motions: 40 % of them wrong, or only a tenth of them there.

The teacher learned from correct labels. Wrong ones teach slowly, so some rows train for
longer; with a tenth of the labels, the student alone does so on the labeled clips.
Without a teacher, nothing says what an unlabeled clip shows.
"""

_base_ = './_motions.py'

name = 'weak_motions'
title = 'Weak labels on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'dist', 'dist_longer', 'student_longer', 'student_labeled']
labels = dict(wrong40=dict(noise=0.4, labeled=1), there10=dict(noise=0, labeled=0.1))
_set = 'train_dataloader.dataset'
_weak = {
    **_base_._views,
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.noise': '{noise}',
    f'{_set}.labeled': '{labeled}',
}
_refined = {**_weak, **_base_._refining}
_longer = {'train_cfg.max_epochs': 24, 'param_scheduler.1.end': 24}
_labeled_only = {
    **_weak,
    'train_dataloader.sampler.views': 200,
    f'{_set}.labeled_only': True,
    'train_cfg.max_epochs': 200,
    'train_cfg.val_interval': 10,
    'param_scheduler.1.end': 200,
    'default_hooks.checkpoint.interval': 10,
}
_student = dict(_base_._student, config='mmvkd::distill/alone_tsm_r18.py')
_staged = dict(_base_._online, config='mmvkd::distill/staged_tsm_r50_to_r18.py')
methods = dict(
    dist=dict(_base_._dist, options=_weak),
    staged_refined=dict(_staged, options=_refined, title='staged, labels refined'),
    student=dict(_student, options=_weak),
    staged_refined_longer=dict(
        _staged,
        options={**_refined, **_longer},
        title='staged, labels refined, 24 epochs',
        settings=['wrong40'],
    ),
    dist_longer=dict(
        _base_._dist, options={**_weak, **_longer}, title='DIST, 24 epochs'
    ),
    student_longer=dict(
        _student,
        options={**_weak, **_longer, 'train_dataloader.sampler.views': 24},
        title='student alone, 24 epochs',
        settings=['wrong40'],
    ),
    student_labeled=dict(
        _student,
        options=_labeled_only,
        title='student alone, labeled clips 200 times',
        settings=['there10'],
    ),
    student_refined=dict(
        _student,
        options=_refined,
        title='student alone, labels refined',
        settings=['wrong40'],
    ),
    dist_refined=dict(_base_._dist, options=_refined, title='DIST, labels refined'),
    staged=dict(_staged, options=_weak, title='staged'),
)
