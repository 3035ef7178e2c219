"""Weak labels on Motions: 40 % of them wrong, or a tenth of them there.

The teacher learned from right labels. DIST and the whole method, which refines the
labels, have three seeds, the others one.
"""

_base_ = './_motions.py'

name = 'weak_motions'
title = 'Weak labels on Motions: TSM-R50 to TSM-R18'
labels = dict(wrong40=dict(noise=0.4, labeled=1), there10=dict(noise=0, labeled=0.1))
_set = 'train_dataloader.dataset'
_weak = {
    f'{_set}.type': 'mmvkd.WeakLabels',
    f'{_set}.noise': '{noise}',
    f'{_set}.labeled': '{labeled}',
}
_hook = 'default_hooks.pseudo_labels'
# labels stay while the student's classifier does not learn, and an epoch longer
_refined = {**_weak, f'{_hook}.type': 'mmvkd.PseudoLabelHook', f'{_hook}.warmup': 3}
_dist = 'mmvkd::distill/dist_tsm_r50_to_r18.py'
_staged = 'mmvkd::distill/staged_tsm_r50_to_r18.py'
_alone = dict(config='mmvkd::distill/alone_tsm_r18.py', seeds=[0])
methods = dict(
    dist=dict(_base_._tsm, config=_dist, options=_weak, title='DIST'),
    staged_refined=dict(
        _base_._tsm, config=_staged, options=_refined, title='staged, labels refined'
    ),
    student=dict(_alone, options=_weak, title='student alone'),
    student_refined=dict(
        _alone, options=_refined, title='student alone, labels refined'
    ),
    dist_refined=dict(
        _base_._one, config=_dist, options=_refined, title='DIST, labels refined'
    ),
    staged=dict(_base_._one, config=_staged, options=_weak, title='staged'),
)
