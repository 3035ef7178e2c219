"""Models: distillers, teachers, heads and what joins them."""

from mmvkd.models import heads
from mmvkd.models.balancers import FixedBalancer, UncertaintyBalancer
from mmvkd.models.connectors import ConvConnector, IdentityConnector
from mmvkd.models.distillers import VideoDistiller
from mmvkd.models.heads import *
from mmvkd.models.initializers import ResidualScaleInit
from mmvkd.models.teachers import CachedTeacher, RecognizerTeacher
from mmvkd.models.views import ClipView

__all__ = [
    'CachedTeacher',
    'ClipView',
    'ConvConnector',
    'FixedBalancer',
    'IdentityConnector',
    'RecognizerTeacher',
    'ResidualScaleInit',
    'UncertaintyBalancer',
    'VideoDistiller',
    *heads.__all__,
]
