"""Spectrum and parameters, balanced (after arXiv 2009.06902), SlowFast-R50 to R18."""

_base_ = '../_base_/pairs/slowfast_r50_to_r18.py'

work_dir = f'work_dirs/{_base_.dataset}/{{ fileBasenameNoExtension }}'
model = dict(
    heads=dict(
        spectrum=dict(
            type='mmvkd.SpectrumHead',
            tap='backbone.fast_path.layer4',
            terms=dict(amplitude=1.0, coherence=1.0),
        ),
        parameter=dict(
            type='mmvkd.ParameterHead', terms=dict(energy=1.0, quantile=1.0)
        ),
    ),
    balancer=dict(type='mmvkd.UncertaintyBalancer'),
)
