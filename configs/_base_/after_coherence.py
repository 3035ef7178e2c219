"""A pretext task that starts from the weights of temporal coherence."""

_base_ = './pretext.py'

coherence = (
    f'run://work_dirs/{_base_.dataset}/pretext/coherence_tsm_r50'
    '?recipe=python tools/train.py mmvkd::pretext/coherence_tsm_r50.py'
)
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True, type='Pretrained', checkpoint=coherence, prefix='backbone'
        )
    )
)
