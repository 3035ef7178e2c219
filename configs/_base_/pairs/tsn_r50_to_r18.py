"""TSN-R50 teaches TSN-R18."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsn_r18.py'),
    teachers=dict(
        tsn_r50=dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config='mmvkd::teachers/tsn_r50.py'),
            checkpoint=_base_.checkpoints.get(
                'tsn_r50', f'work_dirs/{_base_.dataset}/tsn_r50'
            ),
            recipe='python tools/train.py mmvkd::teachers/tsn_r50.py',
        ),
    ),
)
