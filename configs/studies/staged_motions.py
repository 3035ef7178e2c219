"""Staged distillation on Motions, with correct labels: terms alone and together.

By default, the correlation of substages is the only term, weighted by how far their
distributions differ. The head's weight is 1 in all rows, the default until
weights_motions found 10 better. The assistant between the TSM-R50 and the student is a
distilled TSM-R34.
"""

_base_ = './_motions.py'

name = 'staged_motions'
title = 'Staged distillation on Motions: TSM-R50 to TSM-R18'
_config = 'mmvkd::distill/staged_tsm_r50_to_r18.py'
_substage = 'model.heads.substage'
_one = {f'{_substage}.loss_weight': 1}
_longer = {**_one, 'train_cfg.max_epochs': 10, 'param_scheduler.1.end': 10}
runs = dict(
    assistant=dict(
        config=_config,
        needs=['tsm_r50'],
        seed=0,
        options=dict(_longer, **{'model.student.config': 'mmvkd::teachers/tsm_r34.py'}),
        title='TSM-R34, distilled',
    ),
)
_phases = 'default_hooks.cascade.phases'
_terms = ('correlation', 'combination', 'distribution')
_weights = dict(
    terms=('staged, all terms', (1, 1, 1)),
    hybrid=('staged, combination by a tenth', (1, 0.1, 0)),
    combination=('combination alone', (0, 1, 0)),
    distribution=('distribution alone', (0, 0, 1)),
)
_far = dict(distribution=dict(seeds=[0]))
_variants = dict(
    at_once=(
        'staged, no cascade',
        {f'{_phases}.early.epochs': 0, f'{_phases}.middle.epochs': 0},
    ),
    **{
        name: (
            title,
            {f'{_substage}.terms.{term}': w for term, w in zip(_terms, weights)},
        )
        for name, (title, weights) in _weights.items()
    },
)
# the maps that they compare cannot be kept
_views = {**_base_._views, **_one}
_staged = dict(_base_._online, config=_config, options=_views)
methods = dict(
    student=_base_._student,
    dist=_base_._dist,
    staged=dict(_staged, title='staged'),
    fixed=dict(
        _staged,
        options={**_views, f'{_substage}.weighting': 'fixed'},
        title='staged, fixed weights',
    ),
    chain=dict(
        config='mmvkd::distill/staged_tsm_r34_to_r18.py',
        needs=dict(assistant='model.teachers.tsm_r34.checkpoint'),
        options=_views,
        title='staged, from an assistant',
    ),
    kd=_base_._kd,
    **{
        name: dict(
            _staged,
            options={**_views, **options},
            title=title,
            **_far.get(name, {}),
        )
        for name, (title, options) in _variants.items()
    },
)
