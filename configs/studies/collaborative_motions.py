"""Collaborative distillation on Motions: its terms alone, together and balanced."""

_base_ = './_motions.py'

name = 'collaborative_motions'
title = 'Spectrum and parameters on Motions: TSM-R50 to TSM-R18'
baselines = ['student', 'kd', 'dist']
_tsm = _base_._tsm
_spectrum = dict(_tsm, config='mmvkd::distill/spectrum_tsm_r50_to_r18.py')
_parameter = dict(_tsm, config='mmvkd::distill/parameter_tsm_r50_to_r18.py')
_both = dict(config='mmvkd::distill/collaborative_tsm_r50_to_r18.py')
methods = dict(
    student=dict(config='mmvkd::students/tsm_r18.py', title='student alone'),
    kd=dict(_tsm, config='mmvkd::distill/kd_tsm_r50_to_r18.py', title='KD'),
    dist=dict(_tsm, config='mmvkd::distill/dist_tsm_r50_to_r18.py', title='DIST'),
    collaborative=dict(_tsm, **_both, title='spectrum + parameter, balanced'),
    fitnets=dict(
        _tsm, config='mmvkd::distill/fitnets_tsm_r50_to_r18.py', title='FitNets'
    ),
    amplitude=dict(
        _spectrum,
        options={'model.heads.spectrum.terms.coherence': 0},
        title='spectrum, amplitude',
    ),
    spectrum=dict(_spectrum, title='spectrum with phase'),
    energy=dict(
        _parameter,
        options={'model.heads.parameter.terms.quantile': 0},
        title='parameter, energy',
    ),
    quantile=dict(
        _parameter,
        options={'model.heads.parameter.terms.energy': 0},
        title='parameter, quantile',
    ),
    fixed=dict(
        _tsm,
        **_both,
        options={
            'model.balancer.type': 'mmvkd.FixedBalancer',
            'model.heads.parameter.loss_weight': 10.0,
        },
        title='spectrum + parameter, fixed weights',
    ),
    no_energy=dict(
        _tsm,
        **_both,
        options={'model.heads.parameter.terms.energy': 0},
        title='spectrum + parameter without energy, balanced',
    ),
    free=dict(
        _tsm,
        **_both,
        options={'model.balancer.anchor': None},
        title='spectrum + parameter, balanced, not anchored',
    ),
    mutual=dict(_tsm, config='mmvkd::distill/mutual_tsm_r50_to_r18.py', title='mutual'),
)
