"""A teacher: TSM-R50 that learned frame sorting first, without a label."""

_base_ = ['./tsm_r50.py', '../_base_/probes/{{$MMVKD_PROBE:finetune}}.py']

work_dir = f'work_dirs/{_base_.dataset}{_base_.probed}/{{ fileBasenameNoExtension }}'
pretext = (
    f'run://work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
    '?recipe=python tools/train.py mmvkd::pretext/{{ fileBasename }}'
)
model = dict(
    backbone=dict(
        pretrained=None,
        pretrained2d=False,
        frozen_stages=_base_.frozen_stages,
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint=pretext,
            prefix='backbone',
        ),
    )
)
