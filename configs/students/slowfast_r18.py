"""A student alone: SlowFast-R18."""

_base_ = ['../_base_/models/slowfast.py', '../_base_/data.py', '../_base_/runtime.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    backbone=dict(
        slow_pathway=dict(depth=18),
        fast_pathway=dict(depth=18),
    ),
    cls_head=dict(in_channels=576, num_classes=_base_.num_classes),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline_3d)))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline_3d))
test_pipeline = _base_.test_pipeline_3d
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
