"""What pretext tasks are worth on Motions: TSM-R50 after each, and from labels alone.

The classes are learned from all labels, and from a tenth of them, whose clips are seen
five times as often. The tasks always use all clips.
"""

_base_ = './_self_supervised.py'

name = 'pretext_motions'
title = 'Pretext tasks on Motions: TSM-R50 fine-tuned, with all and with few labels'
options = _base_._finetuned
seeds = [0]
student = ''
baselines = ['alone']
runs = {name: dict(run, labels='all') for name, run in _base_._pretexts.items()}
labels = dict(
    all=dict(),
    tenth=dict(
        options={
            'train_dataloader.dataset.type': 'mmvkd.WeakLabels',
            'train_dataloader.dataset.labeled': 0.1,
            'train_dataloader.dataset.labeled_only': True,
            'train_cfg.max_epochs': 60,
            'train_cfg.val_interval': 10,
            'param_scheduler.1.end': 60,
            'default_hooks.checkpoint.interval': 10,
        }
    ),
)
methods = dict(
    alone=dict(config='mmvkd::teachers/tsm_r50.py', title='TSM-R50, labels alone'),
    # the axis says for how long
    **{task: dict(run, options={}) for task, run in _base_._teachers.items()},
)
