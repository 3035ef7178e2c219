"""TSM-R18 without a teacher, on clips whose labels may be missing or refined."""

_base_ = ['../_base_/data.py', '../_base_/runtime.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    type='mmvkd.VideoDistiller', student=dict(config='mmvkd::students/tsm_r18.py')
)
