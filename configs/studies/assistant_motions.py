"""Staged distillation on Motions, with an assistant between teacher and student.

The assistant is a distilled TSM-R34. Two controls tell what the chain is worth: the
student taught by the TSM-R50 itself, and by a TSM-R34 that was trained alone. The last
two rows have one seed.
"""

_base_ = './_motions.py'

name = 'assistant_motions'
title = 'An assistant between TSM-R50 and TSM-R18, on Motions'
_longer = {'train_cfg.max_epochs': 12, 'param_scheduler.1.end': 12}
runs = dict(
    tsm_r34=dict(
        config='mmvkd::teachers/tsm_r34.py', seed=0, options=_longer, title='TSM-R34'
    ),
    assistant=dict(
        config='mmvkd::distill/staged_tsm_r50_to_r18.py',
        needs=['tsm_r50'],
        seed=0,
        options=dict(_longer, **{'model.student.config': 'mmvkd::teachers/tsm_r34.py'}),
        title='TSM-R34, distilled',
    ),
)
_views = _base_._views
_from_r34 = dict(
    config='mmvkd::distill/staged_tsm_r34_to_r18.py', options=_views, seeds=[0]
)
methods = dict(
    student=_base_._student,
    dist=_base_._dist,
    direct=dict(
        _base_._online,
        config='mmvkd::distill/staged_tsm_r50_to_r18.py',
        title='staged, from TSM-R50',
    ),
    smaller=dict(_from_r34, needs=['tsm_r34'], title='staged, from TSM-R34'),
    chain=dict(
        _from_r34,
        needs=dict(assistant='model.teachers.tsm_r34.checkpoint'),
        title='staged, from the assistant',
    ),
)
