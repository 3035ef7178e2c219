"""Motions, the embedded data set: generated videos whose classes differ by motion."""

_base_ = ['./clips.py', '../schedules/adamw_12e.py']

size = int('{{$MMVKD_SIZE:48}}')  # pixels a side
dataset = 'motions' if size == 48 else f'motions_{size}'  # folder of its runs
num_classes = 14
pretrained = False  # its clips are small: recognizers start from nothing
recipe = 'make it with: python tools/data/make_motions.py data/motions'
checkpoints = dict()

crop = [
    dict(type='Resize', scale=(size + 8, size + 8), keep_ratio=False),
    dict(type='RandomCrop', size=size),
]
center = [dict(type='Resize', scale=(size, size), keep_ratio=False)]
# left and right are classes: a flip swaps them
flip_label_map = {0: 1, 1: 0, 4: 6, 6: 4, 5: 7, 7: 5, 8: 9, 9: 8}
flip = dict(_base_.flip, flip_label_map=flip_label_map)
dense = dict(_base_.dense, frame_interval=1)

train_pipeline = [
    *_base_.open_video,
    _base_.segments,
    *_base_.decode_video,
    *crop,
    flip,
    *_base_.pack,
]
val_pipeline = [
    *_base_.open_video,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_video,
    *center,
    *_base_.pack,
]
train_pipeline_3d = [
    *_base_.open_video,
    dense,
    *_base_.decode_video,
    *crop,
    flip,
    *_base_.pack_3d,
]
val_pipeline_3d = [
    *_base_.open_video,
    dict(dense, test_mode=True),
    *_base_.decode_video,
    *center,
    *_base_.pack_3d,
]
test_pipeline_3d = val_pipeline_3d

train_set = dict(
    type='VideoDataset',
    ann_file='data/motions/motions_train_list.txt',
    data_prefix=dict(video='data/motions/videos_train'),
    pipeline=train_pipeline,
)
val_set = dict(
    type='VideoDataset',
    ann_file='data/motions/motions_val_list.txt',
    data_prefix=dict(video='data/motions/videos_val'),
    pipeline=val_pipeline,
    test_mode=True,
)
test_set = dict(
    val_set,
    ann_file='data/motions/motions_test_list.txt',
    data_prefix=dict(video='data/motions/videos_test'),
)
train_dataloader = dict(
    _base_.train_loader,
    num_workers=2,
    dataset=dict(type='mmvkd.SeededDataset', dataset=train_set, recipe=recipe),
)
val_dataloader = dict(_base_.val_loader, num_workers=2, dataset=val_set)
test_dataloader = dict(_base_.val_loader, num_workers=2, dataset=test_set)
