"""TSM-R34 teaches TSM-R18."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(
        tsm_r34=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsm_r34.py'),
            checkpoint=_base_.checkpoints.get(
                'tsm_r34', f'work_dirs/{_base_.dataset}/tsm_r34'
            ),
            recipe='python tools/train.py mmvkd::teachers/tsm_r34.py',
        ),
    ),
)
