"""Spatial frequencies of kernels (after arXiv 2009.06902), TSM-R50 to TSM-R18."""

_base_ = ['../_base_/pairs/tsm_r50_to_r18.py', '../_base_/collaborative.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(parameter=dict(_base_.parameter, loss_weight=10.0)))
