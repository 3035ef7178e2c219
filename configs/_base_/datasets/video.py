"""Videos: their loaders, and pipelines for 2-D recognizers and (``_3d``) 3-D ones."""

_base_ = './clips.py'

train_pipeline = [
    *_base_.open_video,
    _base_.segments,
    *_base_.decode_video,
    *_base_.crop_224,
    _base_.flip,
    *_base_.pack,
]
val_pipeline = [
    *_base_.open_video,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_video,
    *_base_.center_224,
    *_base_.pack,
]
ten_crop_pipeline = [
    *_base_.open_video,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_video,
    *_base_.ten_224,
    *_base_.pack,
]
twice_three_crop_pipeline = [
    *_base_.open_video,
    dict(_base_.segments, test_mode=True, twice_sample=True),
    *_base_.decode_video,
    *_base_.three_256,
    *_base_.pack,
]
train_pipeline_3d = [
    *_base_.open_video,
    _base_.dense,
    *_base_.decode_video,
    *_base_.crop_224,
    _base_.flip,
    *_base_.pack_3d,
]
val_pipeline_3d = [
    *_base_.open_video,
    dict(_base_.dense, test_mode=True),
    *_base_.decode_video,
    *_base_.center_224,
    *_base_.pack_3d,
]
test_pipeline_3d = [
    *_base_.open_video,
    dict(_base_.dense, num_clips=10, test_mode=True),
    *_base_.decode_video,
    *_base_.three_256,
    *_base_.pack_3d,
]

train_dataloader = dict(
    _base_.train_loader,
    dataset=dict(
        type='mmvkd.SeededDataset',
        dataset=dict(type='VideoDataset', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    _base_.val_loader,
    dataset=dict(type='VideoDataset', pipeline=val_pipeline, test_mode=True),
)
test_dataloader = dict(
    _base_.val_loader,
    batch_size=1,
    dataset=dict(type='VideoDataset', pipeline=ten_crop_pipeline, test_mode=True),
)
