"""DIST (arXiv 2205.10536), TSM-R50 to TSM-R18."""

_base_ = '../_base_/pairs/tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(dist=dict(type='mmvkd.DISTHead')))
