"""Graphs, spectrum, parameters and substages in a cascade: TSM-R50 teaches TSM-R18."""

_base_ = [
    '../_base_/pairs/tsm_r50_to_r18.py',
    '../_base_/graph.py',
    '../_base_/collaborative.py',
    '../_base_/staged.py',
]

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        logits_graph=_base_.logits_graph,
        representation_graph=_base_.representation_graph,
        spectrum=_base_.spectrum,
        parameter=_base_.parameter,
        # the balancer weighs all terms alike
        substage=dict(_base_.substage, loss_weight=1.0),
    ),
    balancer=_base_.balancer,
)
default_hooks = dict(cascade=_base_.cascade, picture=_base_.picture)
