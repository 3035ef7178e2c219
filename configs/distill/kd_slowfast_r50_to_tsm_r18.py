"""KD (arXiv 1503.02531): SlowFast-R50 teaches TSM-R18."""

_base_ = '../_base_/pairs/slowfast_r50_to_tsm_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(kd=dict(type='mmvkd.KDHead')))
