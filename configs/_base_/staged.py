"""Staged distillation: a substage head, and a cascade that trains the front first."""

substage = dict(type='mmvkd.SubstageHead', loss_weight=10.0)

_early = ['stage1', 'stage2']
_middle = [*_early, 'stage3']
cascade = dict(
    type='mmvkd.CascadeHook',
    phases=dict(
        early=dict(
            epochs=1,
            train=_early,
            heads=dict(substage=dict(stages=_early)),
            label=False,
        ),
        middle=dict(
            epochs=1,
            train=_middle,
            heads=dict(substage=dict(stages=_middle)),
            label=False,
        ),
        whole=dict(),
    ),
)
