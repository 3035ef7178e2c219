"""DIST (arXiv 2205.10536): TSM-R50 teaches TSM-MobileNetV2."""

_base_ = '../_base_/pairs/tsm_r50_to_tsm_mobilenet_v2.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(dist=dict(type='mmvkd.DISTHead')))
