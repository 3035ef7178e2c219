"""Parts of pipelines and loaders that all data sets share."""

# how a video is read: by decord, pyav, torchcodec or kept (decord, asked once)
decoder = '{{$MMVKD_DECODER:decord}}'
if decoder == 'decord':
    open_video = [dict(type='DecordInit')]
    decode_video = [dict(type='DecordDecode')]
else:
    open_video = [dict(type='mmvkd.OpenVideo', backend=decoder)]
    decode_video = [dict(type='mmvkd.DecodeVideo')]

# which frames: 8 over the whole clip for 2-D recognizers, 32 of 64 for 3-D ones
segments = dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8)
dense = dict(type='SampleFrames', clip_len=32, frame_interval=2, num_clips=1)

# which part of them
crop_224 = [
    dict(type='Resize', scale=(-1, 256)),
    dict(
        type='MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        max_wh_scale_gap=1,
        num_fixed_crops=13,
    ),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
]
center_224 = [
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
]
ten_224 = [
    dict(type='Resize', scale=(-1, 256)),
    dict(type='TenCrop', crop_size=224),
]
three_256 = [
    dict(type='Resize', scale=(-1, 256)),
    dict(type='ThreeCrop', crop_size=256),
]
flip = dict(type='Flip', flip_ratio=0.5)
pack = [dict(type='FormatShape', input_format='NCHW'), dict(type='PackActionInputs')]
pack_3d = [
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_loader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='mmvkd.SeededSampler', shuffle=True),
)
val_loader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(
    type='AccMetric', metric_list=('top_k_accuracy', 'mean_class_accuracy')
)
test_evaluator = val_evaluator
