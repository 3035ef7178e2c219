"""Staged distillation with a tenth of the labels; training finds the others."""

_base_ = './staged_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
train_dataloader = dict(dataset=dict(type='mmvkd.WeakLabels', labeled=0.1))
# labels stay while the student's classifier does not learn
custom_hooks = [*_base_.custom_hooks, dict(type='mmvkd.PseudoLabelHook', warmup=2)]
