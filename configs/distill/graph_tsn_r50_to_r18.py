"""Logits and representation graph (after arXiv 1804.10069), to TSN-R18.

The teachers are TSN-R50 and TSM-R50, which knows the order of frames.
"""

_base_ = ['../_base_/pairs/tsn_r50_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    teachers=dict(
        tsm_r50=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsm_r50.py'),
            checkpoint=_base_.checkpoints.get(
                'tsm_r50', f'work_dirs/{_base_.dataset}/tsm_r50'
            ),
            recipe='python tools/train.py mmvkd::teachers/tsm_r50.py',
        )
    ),
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=_base_.representation_graph,
    ),
)
default_hooks = dict(picture=_base_.picture)
