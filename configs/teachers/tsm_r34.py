"""A teacher: TSM-R34."""

_base_ = './tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        depth=34, pretrained='torchvision://resnet34' if _base_.pretrained else None
    ),
    cls_head=dict(in_channels=512),
)
