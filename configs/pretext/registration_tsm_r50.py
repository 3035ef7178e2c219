"""Frame registration: how does the view move over a picture?"""

_base_ = '../_base_/pretext.py'

work_dir = f'work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
asks = dict(dataset=dict(task=dict(type='mmvkd.FrameRegistration')))
train_dataloader = asks
val_dataloader = asks
test_dataloader = asks
model = dict(cls_head=dict(num_classes=7))
