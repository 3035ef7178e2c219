"""TSM-R34 teaches TSM-R18."""

_base_ = ['../teachers.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(tsm_r34=_base_.known_teachers.tsm_r34),
)
del _base_.known_teachers
