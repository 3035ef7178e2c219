"""Logits and representation graph (after arXiv 1804.10069), to TSM-R18.

The teachers are TSM-R50 and TSM-R34.
"""

_base_ = './logits_graph_tsm_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(heads=dict(representation_graph=_base_.representation_graph))
