"""Distillation heads: turn outputs of student and teachers into named terms."""

from mmvkd.models.heads.base import DistillationHead, LogitsHead
from mmvkd.models.heads.feature import FitNetsHead
from mmvkd.models.heads.logits import DISTHead, DKDHead, KDHead, ZScoreKDHead
from mmvkd.models.heads.logits_graph import LogitsGraphHead
from mmvkd.models.heads.parameter import ParameterHead
from mmvkd.models.heads.representation_graph import RepresentationGraphHead
from mmvkd.models.heads.spectrum import SpectrumHead
from mmvkd.models.heads.substage import SubstageHead

__all__ = [
    'DISTHead',
    'DKDHead',
    'DistillationHead',
    'FitNetsHead',
    'KDHead',
    'LogitsGraphHead',
    'LogitsHead',
    'ParameterHead',
    'RepresentationGraphHead',
    'SpectrumHead',
    'SubstageHead',
    'ZScoreKDHead',
]
