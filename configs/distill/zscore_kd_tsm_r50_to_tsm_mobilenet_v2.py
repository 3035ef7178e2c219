"""KD on z-scored logits (arXiv 2403.01427): TSM-R50 teaches TSM-MobileNetV2."""

_base_ = '../_base_/pairs/tsm_r50_to_tsm_mobilenet_v2.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(zscore_kd=dict(type='mmvkd.ZScoreKDHead', loss_weight=9.0)))
