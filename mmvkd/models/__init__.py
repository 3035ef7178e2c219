"""Models: distillers, teachers, heads and what joins them."""

from mmvkd.models.balancers import FixedBalancer, UncertaintyBalancer
from mmvkd.models.connectors import ConvConnector, IdentityConnector
from mmvkd.models.distillers import VideoDistiller
from mmvkd.models.heads import (
    DISTHead,
    DistillationHead,
    DKDHead,
    FitNetsHead,
    KDHead,
    LogitsGraphHead,
    LogitsHead,
    ParameterHead,
    RepresentationGraphHead,
    SpectrumHead,
    SubstageHead,
    ZScoreKDHead,
)
from mmvkd.models.initializers import ResidualScaleInit
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher
from mmvkd.models.views import ClipView

__all__ = [
    'CachedTeacher',
    'ClipView',
    'ConvConnector',
    'DISTHead',
    'DKDHead',
    'DistillationHead',
    'FitNetsHead',
    'FixedBalancer',
    'IdentityConnector',
    'KDHead',
    'LogitsGraphHead',
    'LogitsHead',
    'ParameterHead',
    'RecognizerTeacher',
    'RepresentationGraphHead',
    'ResidualScaleInit',
    'SpectrumHead',
    'SubstageHead',
    'UncertaintyBalancer',
    'VideoDistiller',
    'ZScoreKDHead',
]
