"""A student alone: TSM-R18."""

_base_ = ['../_base_/models/tsm.py', '../_base_/data.py', '../_base_/runtime.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        depth=18,
        pretrained='torchvision://resnet18' if _base_.pretrained else None,
        pretrained2d=_base_.pretrained,
    ),
    cls_head=dict(
        in_channels=512,
        num_classes=_base_.num_classes,
        dropout_ratio=0.5 if _base_.pretrained else 0.0,
    ),
)
