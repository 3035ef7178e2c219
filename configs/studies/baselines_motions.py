"""The baselines on Motions."""

_base_ = './_baselines.py'

name = 'baselines_motions'
title = 'Baselines on Motions: TSM-R50 to TSM-R18'
data = 'motions'
options = {'train_cfg.max_epochs': 4, 'param_scheduler.1.end': 4}
# from nothing, the deepest network is the last to learn
_longest = {'train_cfg.max_epochs': 20, 'param_scheduler.1.end': 20}
runs = dict(tsm_r50=dict(options=_longest))
requires = {
    'data/motions/motions_train_list.txt': (
        'make it with: python tools/data/make_motions.py data/motions'
    )
}
