"""SlowFast-R50 teaches SlowFast-R18."""

_base_ = ['../teachers.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/slowfast_r18.py'),
    teachers=dict(slowfast_r50=_base_.known_teachers.slowfast_r50),
)
del _base_.known_teachers
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline_3d)))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline_3d))
test_pipeline = _base_.test_pipeline_3d
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
