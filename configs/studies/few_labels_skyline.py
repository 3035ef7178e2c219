"""As few_labels_motions, on skyline: a tenth of the labels of small real clips.

Schedules and settings are those of few_labels_motions. The table is of validation
clips, so no epoch is chosen by them.
"""

_base_ = './few_labels_motions.py'

name = 'few_labels_skyline'
title = 'A tenth of the labels on skyline, motion: TSM-R50 to TSM-R18'
data = 'skyline'
_root = '{{$MMVKD_SKYLINE:../shared/data/skyline}}'
environment = dict(MMVKD_SKYLINE=_root)
requires = {
    '_delete_': True,
    f'{_root}/motion_train.txt': 'say where the set is with MMVKD_SKYLINE',
}
classes = ['left', 'right', 'up', 'down', 'hover']
reversals = [('left', 'right'), ('up', 'down')]
options = {
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.save_best': None,
}
