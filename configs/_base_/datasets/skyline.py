"""Skyline: small real clips of flying targets, labeled by motion or by kind."""

_base_ = ['./clips.py', '../schedules/adamw_12e.py']

labels = '{{$MMVKD_SKYLINE_LABELS:motion}}'  # or kind
size = int('{{$MMVKD_SIZE:64}}')  # pixels a side
dataset = f'skyline_{labels}' if size == 64 else f'skyline_{labels}_{size}'
num_classes = 5 if labels == 'motion' else 4
pretrained = False  # its clips are small: recognizers start from nothing
root = '{{$MMVKD_SKYLINE:data/skyline}}'
recipe = 'say where the set is with MMVKD_SKYLINE'
checkpoints = dict()

crop = [
    dict(type='Resize', scale=(size + 8, size + 8), keep_ratio=False),
    dict(type='RandomCrop', size=size),
]
center = [dict(type='Resize', scale=(size, size), keep_ratio=False)]
# left, right, up, down, hover: each flip swaps two, reversed time all four
across, along = ({0: 1, 1: 0}, {2: 3, 3: 2}) if labels == 'motion' else ({}, {})
flips = [
    dict(_base_.flip, flip_label_map=across),
    dict(_base_.flip, direction='vertical', flip_label_map=along),
    dict(type='mmvkd.ReverseClip', label_map={**across, **along}),
]
# targets are small and the infrared has little contrast
contrast = [dict(type='mmvkd.StandardizeClip')]
dense = dict(_base_.dense, frame_interval=1)

train_pipeline = [
    *_base_.open_video,
    _base_.segments,
    *_base_.decode_video,
    *crop,
    *flips,
    *contrast,
    *_base_.pack,
]
val_pipeline = [
    *_base_.open_video,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_video,
    *center,
    *contrast,
    *_base_.pack,
]
train_pipeline_3d = [
    *_base_.open_video,
    dense,
    *_base_.decode_video,
    *crop,
    *flips,
    *contrast,
    *_base_.pack_3d,
]
val_pipeline_3d = [
    *_base_.open_video,
    dict(dense, test_mode=True),
    *_base_.decode_video,
    *center,
    *contrast,
    *_base_.pack_3d,
]
test_pipeline_3d = val_pipeline_3d

train_set = dict(
    type='VideoDataset',
    ann_file=f'{root}/{labels}_train.txt',
    data_prefix=dict(video=f'{root}/videos'),
    pipeline=train_pipeline,
)
val_set = dict(
    type='VideoDataset',
    ann_file=f'{root}/{labels}_val.txt',
    data_prefix=dict(video=f'{root}/videos'),
    pipeline=val_pipeline,
    test_mode=True,
)
train_dataloader = dict(
    _base_.train_loader,
    num_workers=2,
    dataset=dict(type='mmvkd.SeededDataset', dataset=train_set, recipe=recipe),
)
val_dataloader = dict(_base_.val_loader, num_workers=2, dataset=val_set)
test_dataloader = dict(_base_.val_loader, num_workers=2, dataset=val_set)
