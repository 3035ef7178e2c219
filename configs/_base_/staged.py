"""What substages match, and what learns when: the front of the student first."""

# what measured best, see ../studies: the distributions weigh the substages
substage = dict(
    type='mmvkd.SubstageHead',
    terms=dict(correlation=1.0, combination=0.0, distribution=0.0),
)

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
