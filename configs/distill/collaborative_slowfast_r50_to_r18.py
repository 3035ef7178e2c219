"""Spectrum and parameters, balanced (after arXiv 2009.06902), SlowFast-R50 to R18."""

_base_ = ['../_base_/pairs/slowfast_r50_to_r18.py', '../_base_/collaborative.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        spectrum=dict(_base_.spectrum, tap='backbone.fast_path.layer4'),
        parameter=_base_.parameter,
    ),
    balancer=_base_.balancer,
)
