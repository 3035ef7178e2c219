"""A teacher: TSM-R50."""

_base_ = ['../_base_/models/tsm.py', '../_base_/data.py', '../_base_/runtime.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
# for a start from nothing: deep residual branches start small
from_nothing = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', layer='BatchNorm2d', val=1.0),
    dict(type='mmvkd.ResidualScaleInit', scale=0.25),
]
model = dict(
    backbone=dict(
        depth=50,
        pretrained='torchvision://resnet50' if _base_.pretrained else None,
        pretrained2d=_base_.pretrained,
        init_cfg=from_nothing,
    ),
    cls_head=dict(
        in_channels=2048,
        num_classes=_base_.num_classes,
        dropout_ratio=0.5 if _base_.pretrained else 0.0,
    ),
)
