"""The baselines on Motions."""

_base_ = './_baselines.py'

name = 'baselines_motions'
title = 'Baselines on Motions: TSM-R50 to TSM-R18'
data = 'motions'
options = {'train_cfg.max_epochs': 6, 'param_scheduler.1.end': 6}
requires = {
    'data/motions/motions_train_list.txt': (
        'make it with: python tools/data/make_motions.py data/motions'
    )
}
