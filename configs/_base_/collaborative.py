"""Collaborative distillation: spectrum head, parameter head and their balancer."""

spectrum = dict(
    type='mmvkd.SpectrumHead',
    tap='backbone.layer4',
    terms=dict(amplitude=1.0, coherence=1.0),
)
parameter = dict(type='mmvkd.ParameterHead', terms=dict(energy=1.0, quantile=1.0))
balancer = dict(type='mmvkd.UncertaintyBalancer')
