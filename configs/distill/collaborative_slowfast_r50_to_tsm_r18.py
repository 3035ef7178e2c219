"""Spectrum and parameters, balanced (after arXiv 2009.06902), SlowFast to TSM."""

_base_ = ['../_base_/pairs/slowfast_r50_to_tsm_r18.py', '../_base_/collaborative.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        spectrum=dict(_base_.spectrum, teacher_tap='backbone.slow_path.layer4'),
        parameter=_base_.parameter,
    ),
    balancer=_base_.balancer,
)
