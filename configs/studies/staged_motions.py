"""Staged distillation on Motions, all labels right: its terms alone and together.

The first three rows have three seeds, the others one. By default the correlation of
substages is the only term, weighed by how far their distributions differ.
"""

_base_ = './_motions.py'

name = 'staged_motions'
title = 'Staged distillation on Motions: TSM-R50 to TSM-R18'
_substage = 'model.heads.substage'
_phases = 'default_hooks.cascade.phases'
_terms = ('correlation', 'combination', 'distribution')
_weights = dict(
    terms=('staged, all terms', (1, 1, 1)),
    hybrid=('staged, combination by a tenth', (1, 0.1, 0)),
    combination=('combination alone', (0, 1, 0)),
    distribution=('distribution alone', (0, 0, 1)),
)
_variants = dict(
    at_once=(
        'staged, no cascade',
        {f'{_phases}.early.epochs': 0, f'{_phases}.middle.epochs': 0},
    ),
    fixed=('staged, fixed weights', {f'{_substage}.weighting': 'fixed'}),
    **{
        name: (
            title,
            {f'{_substage}.terms.{term}': w for term, w in zip(_terms, weights)},
        )
        for name, (title, weights) in _weights.items()
    },
)
# the maps that they compare cannot be kept
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
