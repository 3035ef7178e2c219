"""The baselines on skyline, small real clips (in the folder ``MMVKD_SKYLINE``)."""

_base_ = './_baselines.py'

name = 'baselines_skyline'
title = 'Baselines on skyline, motion: TSM-R50 to TSM-R18'
data = 'skyline'
_root = '{{$MMVKD_SKYLINE:../shared/data/skyline}}'
environment = dict(MMVKD_SKYLINE=_root)
# the test clips are those of the validation: no epoch is chosen by them
options = {
    'train_cfg.max_epochs': 3,
    'param_scheduler.1.end': 3,
    'default_hooks.checkpoint.save_best': None,
}
_longer = {'train_cfg.max_epochs': 9, 'param_scheduler.1.end': 9}
runs = dict(tsm_r50=dict(options=_longer), tsm_r34=dict(options=_longer))
classes = ['left', 'right', 'up', 'down', 'hover']
reversals = [('left', 'right'), ('up', 'down')]
requires = {f'{_root}/motion_train.txt': 'say where the set is with MMVKD_SKYLINE'}
