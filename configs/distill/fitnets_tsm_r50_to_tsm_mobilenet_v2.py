"""FitNets (arXiv 1412.6550) on the third stage, TSM-R50 to TSM-MobileNetV2."""

_base_ = '../_base_/pairs/tsm_r50_to_tsm_mobilenet_v2.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        fitnets=dict(
            type='mmvkd.FitNetsHead',
            # by resolution
            tap='backbone.layer5',
            teacher_tap='backbone.layer3',
            loss_weight=100.0,
        )
    )
)
