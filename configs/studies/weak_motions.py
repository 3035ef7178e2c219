"""Weak labels on Motions: 40 % of them wrong, or a tenth of them there.

The teacher learned from right labels. The student alone, DIST and the whole method,
which refines the labels, have three seeds, the others one. Without a teacher there is
nobody to say what a clip without a label shows.
"""

_base_ = './_motions.py'

name = 'weak_motions'
title = 'Weak labels on Motions: TSM-R50 to TSM-R18'
labels = dict(wrong40=dict(noise=0.4, labeled=1), there10=dict(noise=0, labeled=0.1))
_set = 'train_dataloader.dataset'
_weak = {
    **_base_._views,
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.noise': '{noise}',
    f'{_set}.labeled': '{labeled}',
}
_hook = 'default_hooks.pseudo_labels'
_refined = {
    **_weak,
    f'{_hook}.type': 'mmvkd.PseudoLabelHook',
    f'{_hook}.warmup': 2,
    f'{_hook}.momentum': 0.4,
    f'{_hook}.teacher_weight': 0.8,
}
_student = dict(_base_._student, config='mmvkd::distill/alone_tsm_r18.py')
_staged = dict(_base_._online, config='mmvkd::distill/staged_tsm_r50_to_r18.py')
methods = dict(
    dist=dict(_base_._dist, options=_weak),
    staged_refined=dict(_staged, options=_refined, title='staged, labels refined'),
    student=dict(_student, options=_weak),
    student_refined=dict(
        _student,
        options=_refined,
        title='student alone, labels refined',
        seeds=[0],
        settings=['wrong40'],
    ),
    dist_refined=dict(
        _base_._dist, options=_refined, title='DIST, labels refined', seeds=[0]
    ),
    staged=dict(_staged, options=_weak, title='staged', seeds=[0]),
)
