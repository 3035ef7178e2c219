"""The teachers that configs choose from, each from the model zoo or its own run.

A config that inherits from this file deletes ``known_teachers`` after its choice, so
that it expands to its own teachers alone.
"""

_base_ = './data.py'

known_teachers = {
    name: dict(
        type='mmvkd.RecognizerTeacher',
        model=dict(config=f'mmvkd::teachers/{name}.py'),
        checkpoint=_base_.checkpoints.get(name, f'work_dirs/{_base_.dataset}/{name}'),
        recipe=f'python tools/train.py mmvkd::teachers/{name}.py',
    )
    for name in ('tsm_r50', 'tsm_r34', 'tsn_r50', 'slowfast_r50', 'swin_tiny')
}
