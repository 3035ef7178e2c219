"""What substages match, and what learns when: the front of the student first."""

substage = dict(type='mmvkd.SubstageHead')

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
