"""Logits graph (after arXiv 1804.10069) of TSM-R50 and TSM-R34, to TSM-R18."""

_base_ = ['../_base_/teachers.py', '../_base_/runtime.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(
        tsm_r50=_base_.known_teachers.tsm_r50,
        tsm_r34=_base_.known_teachers.tsm_r34,
    ),
    heads=dict(logits_graph=dict(_base_.logits_graph, loss_weight=1.0)),
)
del _base_.known_teachers
