"""HMDB51, split 1, in the layout of MMAction2's own preparation."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = 'hmdb51'
num_classes = 51
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/hmdb51 of MMAction2'
checkpoints = dict()

train_set = dict(
    type='VideoDataset',
    ann_file='data/hmdb51/hmdb51_train_split_1_videos.txt',
    data_prefix=dict(video='data/hmdb51/videos'),
    pipeline=_base_.train_pipeline,
)
val_set = dict(
    type='VideoDataset',
    ann_file='data/hmdb51/hmdb51_val_split_1_videos.txt',
    data_prefix=dict(video='data/hmdb51/videos'),
    pipeline=_base_.val_pipeline,
    test_mode=True,
)
train_dataloader = dict(
    _base_.train_loader,
    dataset=dict(type='mmvkd.SeededDataset', dataset=train_set, recipe=recipe),
)
val_dataloader = dict(_base_.val_loader, dataset=val_set)
test_dataloader = dict(
    _base_.val_loader,
    batch_size=1,
    dataset=dict(val_set, pipeline=_base_.ten_crop_pipeline),
)
