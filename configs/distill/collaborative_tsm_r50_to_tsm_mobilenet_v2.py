"""Spectrum and parameters, balanced (after arXiv 2009.06902), to TSM-MobileNetV2."""

_base_ = [
    '../_base_/pairs/tsm_r50_to_tsm_mobilenet_v2.py',
    '../_base_/collaborative.py',
]

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
# by resolution
stages = {
    'backbone.layer2': 'backbone.layer1',
    'backbone.layer3': 'backbone.layer2',
    'backbone.layer5': 'backbone.layer3',
    'backbone.layer7': 'backbone.layer4',
}
model = dict(
    heads=dict(
        spectrum=dict(
            _base_.spectrum, tap='backbone.layer7', teacher_tap='backbone.layer4'
        ),
        parameter=dict(_base_.parameter, stages=stages),
    ),
    balancer=_base_.balancer,
)
