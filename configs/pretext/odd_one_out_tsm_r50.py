"""Odd-one-out: which part of the clip is shuffled?"""

_base_ = '../_base_/after_coherence.py'

work_dir = f'work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
asks = dict(dataset=dict(task=dict(type='mmvkd.OddOneOut')))
train_dataloader = asks
val_dataloader = asks
test_dataloader = asks
model = dict(cls_head=dict(num_classes=4))
