"""UCF101, split 1, in the layout of MMAction2's own preparation."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = 'ucf101'
num_classes = 101
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/ucf101 of MMAction2'
checkpoints = dict()

where = dict(video='data/ucf101/videos')
train_set = dict(
    ann_file='data/ucf101/ucf101_train_split_1_videos.txt',
    data_prefix=where,
)
val_set = dict(ann_file='data/ucf101/ucf101_val_split_1_videos.txt', data_prefix=where)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
