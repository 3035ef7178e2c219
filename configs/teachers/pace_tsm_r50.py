"""A teacher: TSM-R50 that learned playback pace first, without a label."""

_base_ = './sorting_tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}{_base_.probed}/{{ fileBasenameNoExtension }}'
pretext = (
    f'run://work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
    '?recipe=python tools/train.py mmvkd::pretext/{{ fileBasename }}'
)
model = dict(backbone=dict(init_cfg=dict(checkpoint=pretext)))
