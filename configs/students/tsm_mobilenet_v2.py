"""A student alone: TSM-MobileNetV2."""

_base_ = './tsm_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2TSM',
        num_segments=8,
        shift_div=8,
        pretrained='mmcls://mobilenet_v2' if _base_.pretrained else None,
        pretrained2d=_base_.pretrained,
    ),
    cls_head=dict(in_channels=1280),
)
