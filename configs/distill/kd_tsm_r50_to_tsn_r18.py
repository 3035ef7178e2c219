"""KD (arXiv 1503.02531): TSM-R50 teaches TSN-R18."""

_base_ = '../_base_/pairs/tsm_r50_to_tsn_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(kd=dict(type='mmvkd.KDHead')))
