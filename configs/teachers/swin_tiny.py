"""A teacher: MMAction2's Video Swin, tiny."""

_base_ = './slowfast_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
imagenet = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
    'swin_tiny_patch4_window7_224.pth'
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer3D',
        arch='tiny',
        pretrained=imagenet if _base_.pretrained else None,
        pretrained2d=_base_.pretrained,
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
# as in MMAction2's recipe; the rules of TSM's are for convolutions
optim_wrapper = dict(
    _delete_=True,
    constructor='mmvkd.DistillOptimWrapperConstructor',
    student_constructor='SwinOptimWrapperConstructor',
    paramwise_cfg=dict(
        absolute_pos_embed=dict(decay_mult=0.0),
        relative_position_bias_table=dict(decay_mult=0.0),
        norm=dict(decay_mult=0.0),
        backbone=dict(lr_mult=0.1 if _base_.pretrained else 1.0),
    ),
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02),
    clip_grad=dict(max_norm=20, norm_type=2),
)
