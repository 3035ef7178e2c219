"""Video Swin teaches TSM-R18: 32 frames to the teacher, 8 of them to the student."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(
        swin_tiny=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/swin_tiny.py'),
            checkpoint=_base_.checkpoints.get(
                'swin_tiny', f'work_dirs/{_base_.dataset}/swin_tiny'
            ),
            recipe='python tools/train.py mmvkd::teachers/swin_tiny.py',
        ),
    ),
)
train_dataloader = dict(dataset=dict(oversample=4))
