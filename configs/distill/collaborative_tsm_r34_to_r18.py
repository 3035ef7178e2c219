"""Spectrum and parameters, balanced (after arXiv 2009.06902), TSM-R34 to R18."""

_base_ = ['../_base_/pairs/tsm_r34_to_r18.py', '../_base_/collaborative.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(spectrum=_base_.spectrum, parameter=_base_.parameter),
    balancer=_base_.balancer,
)
