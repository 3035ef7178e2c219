"""A second TSM-R50 teacher, from another seed."""

_base_ = './tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
randomness = dict(seed=1)
