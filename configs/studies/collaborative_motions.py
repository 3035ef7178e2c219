"""Collaborative distillation on Motions: its terms alone, together and balanced."""

_base_ = './_motions.py'

name = 'collaborative_motions'
title = 'Spectrum and parameters on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'dist']
_spectrum = 'mmvkd::distill/spectrum_tsm_r50_to_r18.py'
_parameter = 'mmvkd::distill/parameter_tsm_r50_to_r18.py'
_both = 'mmvkd::distill/collaborative_tsm_r50_to_r18.py'
_without = {
    'coherence': {'model.heads.spectrum.terms.coherence': 0},
    'energy': {'model.heads.parameter.terms.energy': 0},
    'quantile': {'model.heads.parameter.terms.quantile': 0},
    'anchor': {'model.balancer.anchor': None},
    'balancer': {
        'model.balancer.type': 'mmvkd.FixedBalancer',
        'model.heads.parameter.loss_weight': 10.0,
    },
}
_rows = dict(
    collaborative=(_both, 'spectrum + parameter, balanced', {}),
    no_energy=(_both, 'the same, kernels without energy', _without['energy']),
    free=(_both, 'the same, not anchored', _without['anchor']),
    fixed=(_both, 'the same, fixed weights', _without['balancer']),
    spectrum=(_spectrum, 'spectrum with phase', {}),
    amplitude=(_spectrum, 'spectrum, amplitude', _without['coherence']),
    quantile=(_parameter, 'parameter, quantile', _without['energy']),
    energy=(_parameter, 'parameter, energy', _without['quantile']),
)
methods = dict(
    student=_base_._student,
    kd=_base_._kd,
    dist=_base_._dist,
    # what FitNets compares and a teacher that learns cannot be kept
    fitnets=dict(
        _base_._online,
        config='mmvkd::distill/fitnets_tsm_r50_to_r18.py',
        title='FitNets',
    ),
    mutual=dict(
        _base_._online,
        config='mmvkd::distill/mutual_tsm_r50_to_r18.py',
        title='mutual',
    ),
    **{
        name: dict(
            _base_._tsm,
            config=config,
            title=title,
            options={**_base_._views, **options},
        )
        for name, (config, title, options) in _rows.items()
    },
)
