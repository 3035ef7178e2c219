"""SlowFast-R50 teaches TSM-R18: 32 frames to the teacher, 8 of them to the student."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
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
train_dataloader = dict(dataset=dict(oversample=4))
