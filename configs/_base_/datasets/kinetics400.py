"""Kinetics-400, in the layout of MMAction2's own preparation."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = 'kinetics400'
num_classes = 400
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/kinetics of MMAction2'
zoo = 'https://download.openmmlab.com/mmaction/v1.0/recognition'
checkpoints = dict(
    tsm_r50=f'{zoo}/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth',
    tsn_r50=f'{zoo}/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb/'
    'tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb_20220906-2692d16c.pth',
    slowfast_r50=f'{zoo}/slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb/'
    'slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb_20220901-701b0f6f.pth',
    swin_tiny=f'{zoo}/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
    'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-241016b2.pth',
)

train_set = dict(
    ann_file='data/kinetics400/kinetics400_train_list_videos.txt',
    data_prefix=dict(video='data/kinetics400/videos_train'),
)
val_set = dict(
    ann_file='data/kinetics400/kinetics400_val_list_videos.txt',
    data_prefix=dict(video='data/kinetics400/videos_val'),
)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=val_set)
