"""Logits and representation graph (after arXiv 1804.10069), to TSN-R18.

The teachers are TSN-R50 and TSM-R50; only TSM-R50 sees the order of frames.
"""

_base_ = ['../_base_/teachers.py', '../_base_/runtime.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsn_r18.py'),
    teachers=dict(
        tsn_r50=_base_.known_teachers.tsn_r50,
        tsm_r50=_base_.known_teachers.tsm_r50,
    ),
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=_base_.representation_graph,
    ),
)
del _base_.known_teachers
default_hooks = dict(picture=_base_.picture)
