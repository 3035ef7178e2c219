"""Four TSM-R50, or those named, each after a different pretext task, teach TSM-R18."""

_base_ = ['../data.py', '../runtime.py']

tasks = '{{$MMVKD_TEACHERS:sorting,registration,coherence,odd_one_out}}'
probed = '/{{$MMVKD_PROBE:finetune}}'.replace('/finetune', '')
model = dict(
    type='mmvkd.VideoDistiller',
    student=dict(config='mmvkd::students/tsm_r18.py'),
    teachers={
        task: dict(
            type='mmvkd.RecognizerTeacher',
            model=dict(config=f'mmvkd::teachers/{task}_tsm_r50.py'),
            checkpoint=f'work_dirs/{_base_.dataset}{probed}/{task}_tsm_r50',
            recipe=f'python tools/train.py mmvkd::teachers/{task}_tsm_r50.py',
        )
        for task in tasks.replace(' ', '').split(',')
    },
)
