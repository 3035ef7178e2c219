"""Staged distillation (after arXiv 2307.05201): TSM-R50 teaches TSM-MobileNetV2."""

_base_ = ['../_base_/pairs/tsm_r50_to_tsm_mobilenet_v2.py', '../_base_/staged.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(substage=_base_.substage))
default_hooks = dict(cascade=_base_.cascade)
