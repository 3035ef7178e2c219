"""A teacher: TSM-R34 that learned frame sorting first, without a label."""

_base_ = './sorting_tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
pretext = (
    f'run://work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
    '?recipe=python tools/train.py configs/pretext/{{ fileBasename }}'
)
model = dict(
    backbone=dict(depth=34, init_cfg=dict(checkpoint=pretext)),
    cls_head=dict(in_channels=512),
)
