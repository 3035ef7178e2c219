"""A student alone: TSN on MMPretrain's MobileNetV3."""

_base_ = './tsn_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
backbone = dict(_delete_=True, type='mmpretrain.MobileNetV3', arch='small')
if _base_.pretrained:
    backbone['init_cfg'] = dict(
        type='Pretrained',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/'
        'convert/mobilenet_v3_small-8427ecf0.pth',
        prefix='backbone',
    )
model = dict(backbone=backbone, cls_head=dict(in_channels=576))
