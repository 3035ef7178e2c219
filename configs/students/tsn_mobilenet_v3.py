"""A student alone: TSN on MMPretrain's MobileNetV3."""

_base_ = './tsn_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.MobileNetV3', arch='small'),
    cls_head=dict(in_channels=576),
)
