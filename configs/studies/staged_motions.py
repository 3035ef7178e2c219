"""Staged distillation on Motions, all labels right: its terms alone and together.

The first three rows have three seeds, the others one.
"""

_base_ = './_motions.py'

name = 'staged_motions'
title = 'Staged distillation on Motions: TSM-R50 to TSM-R18'
_staged = 'mmvkd::distill/staged_tsm_r50_to_r18.py'
_terms = 'model.heads.substage.terms'
_phases = 'default_hooks.cascade.phases'

_all = ('correlation', 'combination', 'distribution')
_alone = {
    term: dict(
        _base_._one,
        config=_staged,
        options={f'{_terms}.{other}': 0 for other in _all if other != term},
        title=f'{term} alone',
    )
    for term in _all
}
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    dist=dict(
        _base_._tsm, config='mmvkd::distill/dist_tsm_r50_to_r18.py', title='DIST'
    ),
    staged=dict(_base_._tsm, config=_staged, title='staged'),
    kd=dict(_base_._one, config='mmvkd::distill/kd_tsm_r50_to_r18.py', title='KD'),
    **_alone,
    at_once=dict(
        _base_._one,
        config=_staged,
        options={f'{_phases}.early.epochs': 0, f'{_phases}.middle.epochs': 0},
        title='staged, no cascade',
    ),
    fixed=dict(
        _base_._one,
        config=_staged,
        options={'model.heads.substage.weighting': 'fixed'},
        title='staged, fixed weights',
    ),
)
