"""Staged distillation on Motions, all labels right: its terms alone and together.

The first three rows have three seeds, the others one.
"""

_base_ = './_motions.py'

name = 'staged_motions'
title = 'Staged distillation on Motions: TSM-R50 to TSM-R18'
_substage = 'model.heads.substage'
_phases = 'default_hooks.cascade.phases'
_terms = ('correlation', 'combination', 'distribution')
_variants = {
    **{
        term: (
            f'{term} alone',
            {f'{_substage}.terms.{other}': 0 for other in _terms if other != term},
        )
        for term in _terms
    },
    'at_once': (
        'staged, no cascade',
        {f'{_phases}.early.epochs': 0, f'{_phases}.middle.epochs': 0},
    ),
    'fixed': ('staged, fixed weights', {f'{_substage}.weighting': 'fixed'}),
}
# a network of both cannot be kept
_staged = dict(_base_._online, config='mmvkd::distill/staged_tsm_r50_to_r18.py')
methods = dict(
    student=_base_._student,
    dist=_base_._dist,
    staged=dict(_staged, title='staged'),
    kd=dict(_base_._kd, seeds=[0]),
    **{
        name: dict(
            _staged, options={**_base_._views, **options}, seeds=[0], title=title
        )
        for name, (title, options) in _variants.items()
    },
)
