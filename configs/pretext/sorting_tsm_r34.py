"""Frame sorting, by TSM-R34: in which order were four parts of the clip put?"""

_base_ = './sorting_tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
model = dict(backbone=dict(depth=34), cls_head=dict(in_channels=512))
