"""DIST (arXiv 2205.10536) from four self-supervised TSM-R50, averaged, to TSM-R18."""

_base_ = '../_base_/pairs/self_supervised_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(dist=dict(type='mmvkd.DISTHead')))
