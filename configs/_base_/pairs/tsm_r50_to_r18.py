"""TSM-R50 teaches TSM-R18."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers=dict(
        tsm_r50=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsm_r50.py'),
            checkpoint=_base_.checkpoints.get(
                'tsm_r50', f'work_dirs/{_base_.dataset}/tsm_r50'
            ),
            recipe='python tools/train.py mmvkd::teachers/tsm_r50.py',
        ),
    ),
)
