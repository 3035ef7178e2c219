"""KD, TSM-R50 to TSM-R18, on labels of which 40 % are wrong and refined on the way."""

_base_ = './kd_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
train_dataloader = dict(dataset=dict(type='mmvkd.WeakLabels', noise=0.4))
custom_hooks = [*_base_.custom_hooks, dict(type='mmvkd.PseudoLabelHook')]
