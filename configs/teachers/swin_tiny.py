"""A teacher: Video Swin, tiny, of MMAction2."""

_base_ = './slowfast_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer3D',
        arch='tiny',
        pretrained=None,
        patch_size=(2, 4, 4),
        window_size=(8, 7, 7),
        drop_path_rate=0.1,
        patch_norm=True,
    ),
    cls_head=dict(
        _delete_=True,
        type='I3DHead',
        in_channels=768,
        num_classes=_base_.num_classes,
        dropout_ratio=0.5,
        average_clips='prob',
    ),
)
