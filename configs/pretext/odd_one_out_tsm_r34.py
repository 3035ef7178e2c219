"""Odd-one-out, by TSM-R34: which part of the clip is shuffled?"""

_base_ = './odd_one_out_tsm_r50.py'

work_dir = f'work_dirs/{_base_.dataset}/pretext/{{ fileBasenameNoExtension }}'
model = dict(backbone=dict(depth=34), cls_head=dict(in_channels=512))
