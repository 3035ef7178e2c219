"""Logits graph (after arXiv 1804.10069) of two teachers, TSM-R50 to TSM-R18."""

_base_ = '../_base_/pairs/tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    teachers=dict(
        tsm_r50_seed1=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsm_r50_seed1.py'),
            checkpoint=_base_.checkpoints.get(
                'tsm_r50_seed1', f'work_dirs/{_base_.dataset}/tsm_r50_seed1'
            ),
            recipe='python tools/train.py configs/teachers/tsm_r50_seed1.py',
        )
    ),
    heads=dict(logits_graph=dict(type='mmvkd.LogitsGraphHead', loss_weight=16.0)),
)
