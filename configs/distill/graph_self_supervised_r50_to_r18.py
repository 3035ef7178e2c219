"""Logits graph (after arXiv 1804.10069) of four self-supervised TSM-R50, to TSM-R18."""

_base_ = ['../_base_/pairs/self_supervised_r50_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(logits_graph=_base_.logits_graph))
