"""KD, TSM-R50 to TSM-R18, where 10 % of the clips have a label; the others get one."""

_base_ = './kd_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
train_dataloader = dict(dataset=dict(type='mmvkd.WeakLabels', labeled=0.1))
custom_hooks = [*_base_.custom_hooks, dict(type='mmvkd.PseudoLabelHook')]
