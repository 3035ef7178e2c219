"""KD on z-scored logits (arXiv 2403.01427), TSM-R50 to TSM-R18."""

_base_ = '../_base_/pairs/tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
# the weight of its authors' code
model = dict(heads=dict(zscore_kd=dict(type='mmvkd.ZScoreKDHead', loss_weight=9.0)))
