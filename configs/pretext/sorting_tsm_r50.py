"""Frame sorting: in which order were four parts of the clip put?"""

_base_ = '../_base_/after_coherence.py'

work_dir = f'work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
asks = dict(dataset=dict(task=dict(type='mmvkd.FrameSorting')))
train_dataloader = asks
val_dataloader = asks
test_dataloader = asks
model = dict(cls_head=dict(num_classes=12))
