"""FitNets (arXiv 1412.6550) on the third stage, TSM-R50 to TSM-R18."""

_base_ = '../_base_/pairs/tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        fitnets=dict(
            type='mmvkd.FitNetsHead',
            tap='backbone.layer3',
            # as published code weighs it; 1 was far worse on Motions
            loss_weight=100.0,
        )
    )
)
