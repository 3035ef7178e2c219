"""Staged distillation (after arXiv 2307.05201): SlowFast-R50 teaches TSM-R18."""

_base_ = ['../_base_/pairs/slowfast_r50_to_tsm_r18.py', '../_base_/staged.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(substage=_base_.substage))
default_hooks = dict(cascade=_base_.cascade)
