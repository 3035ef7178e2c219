"""Something-Something V2, in the layout of MMAction2's own preparation."""

_base_ = ['./video.py', '../schedules/sgd_tsm_50e.py']

dataset = 'sthv2'
num_classes = 174
pretrained = True  # recognizers start from ImageNet
recipe = 'prepare it with tools/data/sthv2 of MMAction2'
zoo = 'https://download.openmmlab.com/mmaction/v1.0/recognition'
checkpoints = dict(
    tsm_r50=f'{zoo}/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb_20230317-be0fc26e.pth',
    tsn_r50=f'{zoo}/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb/'
    'tsn_imagenet-pretrained-r50_8xb32-1x1x8-50e_sthv2-rgb_20230313-06ad7d03.pth',
)

# left and right are classes: a flip swaps them
flip_label_map = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
flip = dict(_base_.flip, flip_label_map=flip_label_map)
train_pipeline = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline]
train_pipeline_3d = [flip if s.type == 'Flip' else s for s in _base_.train_pipeline_3d]

where = dict(video='data/sthv2/videos')
train_set = dict(
    ann_file='data/sthv2/sthv2_train_list_videos.txt',
    data_prefix=where,
    pipeline=train_pipeline,
)
val_set = dict(ann_file='data/sthv2/sthv2_val_list_videos.txt', data_prefix=where)
train_dataloader = dict(dataset=dict(dataset=train_set, recipe=recipe))
val_dataloader = dict(dataset=val_set)
test_dataloader = dict(dataset=dict(val_set, pipeline=_base_.twice_three_crop_pipeline))
optim_wrapper = dict(optimizer=dict(weight_decay=0.0005))
