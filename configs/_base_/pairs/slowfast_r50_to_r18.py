"""SlowFast-R50 teaches SlowFast-R18."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/slowfast_r18.py'),
    teachers=dict(
        slowfast_r50=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/slowfast_r50.py'),
            checkpoint=_base_.checkpoints.get(
                'slowfast_r50', f'work_dirs/{_base_.dataset}/slowfast_r50'
            ),
            recipe='python tools/train.py mmvkd::teachers/slowfast_r50.py',
        ),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline_3d)))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline_3d))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_3d))
