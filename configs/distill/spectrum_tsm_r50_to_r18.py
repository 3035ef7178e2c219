"""Temporal spectrum (after arXiv 2009.06902) of the last stage, TSM-R50 to TSM-R18."""

_base_ = ['../_base_/pairs/tsm_r50_to_r18.py', '../_base_/collaborative.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(spectrum=_base_.spectrum))
