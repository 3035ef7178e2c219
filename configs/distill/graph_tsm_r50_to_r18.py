"""Logits and representation graph (after arXiv 1804.10069), to TSM-R18.

The teachers are four TSM-R50, each after a different pretext task.
"""

_base_ = ['../_base_/pairs/self_supervised_r50_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=_base_.representation_graph,
    )
)
default_hooks = dict(picture=_base_.picture)
