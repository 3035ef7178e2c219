"""Pipelines of JPEG frames, for 2-D recognizers and (``_3d``) for 3-D ones."""

_base_ = './clips.py'

train_pipeline = [
    *_base_.open_rawframes,
    _base_.segments,
    *_base_.decode_rawframes,
    *_base_.crop_224,
    _base_.flip,
    *_base_.pack,
]
val_pipeline = [
    *_base_.open_rawframes,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_rawframes,
    *_base_.center_224,
    *_base_.pack,
]
ten_crop_pipeline = [
    *_base_.open_rawframes,
    dict(_base_.segments, test_mode=True),
    *_base_.decode_rawframes,
    *_base_.ten_224,
    *_base_.pack,
]
twice_three_crop_pipeline = [
    *_base_.open_rawframes,
    dict(_base_.segments, test_mode=True, twice_sample=True),
    *_base_.decode_rawframes,
    *_base_.three_256,
    *_base_.pack,
]
train_pipeline_3d = [
    *_base_.open_rawframes,
    _base_.dense,
    *_base_.decode_rawframes,
    *_base_.crop_224,
    _base_.flip,
    *_base_.pack_3d,
]
val_pipeline_3d = [
    *_base_.open_rawframes,
    dict(_base_.dense, test_mode=True),
    *_base_.decode_rawframes,
    *_base_.center_224,
    *_base_.pack_3d,
]
test_pipeline_3d = [
    *_base_.open_rawframes,
    dict(_base_.dense, num_clips=10, test_mode=True),
    *_base_.decode_rawframes,
    *_base_.three_256,
    *_base_.pack_3d,
]
