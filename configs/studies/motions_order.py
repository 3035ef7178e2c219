"""What frame order is worth on Motions: TSM-R18 against TSN-R18, which ignores it."""

name = 'motions_order'
title = 'Motions with and without frame order'
data = 'motions'
environment = dict(MMVKD_SIZE='32')
seeds = [0]
student = 'tsn'
methods = dict(
    tsn=dict(config='mmvkd::students/tsn_r18.py', title='TSN-R18'),
    tsm=dict(config='mmvkd::students/tsm_r18.py', title='TSM-R18'),
)
