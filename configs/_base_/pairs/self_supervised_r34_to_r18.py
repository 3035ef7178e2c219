"""Two TSM-R34, each of another pretext task, teach TSM-R18."""

_base_ = ['../data.py', '../runtime.py']

model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers={
        task: dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config=f'mmvkd::teachers/{task}_tsm_r34.py'),
            checkpoint=f'work_dirs/{_base_.dataset}/{task}_tsm_r34',
            recipe=f'python tools/train.py configs/teachers/{task}_tsm_r34.py',
        )
        for task in ('sorting', 'odd_one_out')
    },
)
