"""Video Swin teaches TSM-R18: 32 frames to the teacher, 8 of them to the student."""

_base_ = ['../teachers.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(swin_tiny=_base_.known_teachers.swin_tiny),
)
del _base_.known_teachers
train_dataloader = dict(dataset=dict(oversample=4))
