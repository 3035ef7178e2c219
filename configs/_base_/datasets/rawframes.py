"""JPEG frames: as videos, but frames are read, not decoded."""

_base_ = './video.py'


def of_frames(pipeline):
    """The pipeline without its opening step, reading where it decodes."""
    read = dict(type='RawFrameDecode')
    return [
        read if step in _base_.decode_video else step
        for step in pipeline
        if step not in _base_.open_video
    ]


train_pipeline = of_frames(_base_.train_pipeline)
val_pipeline = of_frames(_base_.val_pipeline)
ten_crop_pipeline = of_frames(_base_.ten_crop_pipeline)
twice_three_crop_pipeline = of_frames(_base_.twice_three_crop_pipeline)
train_pipeline_3d = of_frames(_base_.train_pipeline_3d)
val_pipeline_3d = of_frames(_base_.val_pipeline_3d)
test_pipeline_3d = of_frames(_base_.test_pipeline_3d)

frames = dict(type='RawframeDataset', filename_tmpl='{:05}.jpg')
train_dataloader = dict(dataset=dict(dataset=dict(frames, pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(frames, pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(frames, pipeline=twice_three_crop_pipeline))
