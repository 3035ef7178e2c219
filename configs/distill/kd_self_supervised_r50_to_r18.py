"""KD (arXiv 1503.02531) from four self-supervised TSM-R50, averaged, to TSM-R18."""

_base_ = '../_base_/pairs/self_supervised_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(kd=dict(type='mmvkd.KDHead')))
