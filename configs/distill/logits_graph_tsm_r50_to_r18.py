"""Logits graph (after arXiv 1804.10069) of TSM-R50 and TSM-R34, to TSM-R18."""

_base_ = ['../_base_/pairs/tsm_r50_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    teachers=dict(
        tsm_r34=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsm_r34.py'),
            checkpoint=_base_.checkpoints.get(
                'tsm_r34', f'work_dirs/{_base_.dataset}/tsm_r34'
            ),
            recipe='python tools/train.py mmvkd::teachers/tsm_r34.py',
        )
    ),
    heads=dict(logits_graph=dict(_base_.logits_graph, loss_weight=1.0)),
)
