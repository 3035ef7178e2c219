"""TSM-R50 teaches TSN-R18."""

_base_ = ['../teachers.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsn_r18.py'),
    teachers=dict(tsm_r50=_base_.known_teachers.tsm_r50),
)
del _base_.known_teachers
