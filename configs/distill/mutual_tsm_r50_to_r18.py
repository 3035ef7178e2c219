"""The collaborative method with a teacher that learns as well, TSM-R50 and R18."""

_base_ = './collaborative_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(mutual=True)
