"""A teacher: TSM-R50."""

_base_ = ['../_base_/models/tsm.py', '../_base_/data.py', '../_base_/runtime.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        depth=50,
        pretrained='torchvision://resnet50' if _base_.pretrained else None,
        pretrained2d=_base_.pretrained,
    ),
    cls_head=dict(
        in_channels=2048,
        num_classes=_base_.num_classes,
        dropout_ratio=0.5 if _base_.pretrained else 0.0,
    ),
)
