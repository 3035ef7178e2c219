"""HMDB51, split 1, in the layout of MMAction2's own preparation."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = 'hmdb51'
num_classes = 51
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/hmdb51 of MMAction2'
checkpoints = dict()

where = dict(video='data/hmdb51/videos')
train_set = dict(
    ann_file='data/hmdb51/hmdb51_train_split_1_videos.txt',
    data_prefix=where,
)
val_set = dict(ann_file='data/hmdb51/hmdb51_val_split_1_videos.txt', data_prefix=where)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
