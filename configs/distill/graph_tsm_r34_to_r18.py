"""Logits and representation graph (after arXiv 1804.10069), to TSM-R18.

The teachers are two TSM-R34, each of another pretext task.
"""

_base_ = ['../_base_/pairs/self_supervised_r34_to_r18.py', '../_base_/graph.py']

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=_base_.representation_graph,
    )
)
