"""Recognizers by name: from a dict, a config file or an MMAction2 model-zoo config."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mmaction.models import (
    BaseRecognizer,
    Recognizer2D,
    Recognizer3D,
)
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.models.losses import BCELossWithLogits
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmvkd.registry import short_type

RecognizerConfig = Union[str, Mapping[str, Any]]
"""A model dict; a path to a config; ``mmaction::recognition/tsm/…``; or a dict with a
key ``config`` naming one of these, and what to change in it."""


def recognizer_config(config: RecognizerConfig) -> dict[str, Any]:
    """The plain model dict that ``config`` names.

    Raises:
        FileNotFoundError: if the named config does not exist.
        ValueError: if it holds no model, or is none.
    """
    if isinstance(config, str):
        return _model_of_file(config)
    if not isinstance(config, Mapping):
        raise ValueError(
            f'a model is a dict, or the path or name of a config; got {config!r}'
        )
    config = copy.deepcopy(dict(config))
    source = config.pop('config', None)
    if source is None:
        if 'type' not in config:
            raise ValueError(
                'a model needs a type, or config=PATH of the config that it is in; it '
                f'has {", ".join(config) or "nothing"}'
            )
        return config
    merged = Config(dict(model=_model_of_file(source)))
    merged.merge_from_dict(dict(model=config))
    return merged.model.to_dict()


def student_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The model dict of the recognizer that remains after training.

    Args:
        config: A config with the ``model`` of a distiller or of a plain recognizer.

    Raises:
        ValueError: if the config has no model.
    """
    if 'model' not in config:
        raise ValueError('the config has no `model`')
    model = config['model']
    return recognizer_config(model.get('student', model))


def sampled_frames(config: RecognizerConfig) -> Optional[int]:
    """Frames of a clip that the validation pipeline of a named config samples.

    Args:
        config: Of a recognizer that takes clips, so a 3-D one.

    Returns:
        None if no config is named, or its pipeline does not tell.
    """
    source = config if isinstance(config, str) else config.get('config')
    for transform in pipeline_of(_config_of_file(source)) if source else ():
        if 'Sample' in short_type(transform['type']) and 'clip_len' in transform:
            return int(transform['clip_len'])
    return None


def pipeline_of(config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The transforms of validation, or else of the test or of training, or none."""
    for stage in ('val', 'test', 'train'):
        dataset = dataset_of(config.get(f'{stage}_dataloader') or {})
        if 'pipeline' in dataset:
            return dataset['pipeline']
    return []


def dataset_of(loader: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a loader's data set, without its wrappers."""
    node = loader
    while 'dataset' in node:
        node = node['dataset']
    return dict(node)


def _model_of_file(name: str) -> dict[str, Any]:
    loaded = _config_of_file(name)
    if 'model' not in loaded:
        raise ValueError(f"config '{name}' has no `model`")
    return student_config(dict(model=loaded.model.to_dict()))


def _config_of_file(name: str) -> Config:
    if '::' in name:
        # resolved as MMEngine resolves a base
        return Config.fromstring(f"_base_ = ['{name}']", '.py')
    if Path(name).is_file():
        return Config.fromfile(name)
    raise FileNotFoundError(
        f"config '{name}' does not exist; give a path, or "
        'mmaction::recognition/… for one of MMAction2'
    )


def build_recognizer(
    role: str, config: Union[RecognizerConfig, BaseRecognizer]
) -> BaseRecognizer:
    """Build a recognizer that can be a student or a teacher.

    Args:
        role: ``student`` or ``teacher 'name'``, for messages.
        config: See :data:`RecognizerConfig`; a built recognizer is only checked.

    Raises:
        TypeError: for models whose input is not a single clip of frames.
        ValueError: for recognizers without a classification head.
    """
    built = isinstance(config, nn.Module)
    model = config if built else MODELS.build(recognizer_config(config))
    kind = type(model).__name__
    if not isinstance(model, (Recognizer2D, Recognizer3D)):
        raise TypeError(
            f'the {role} is a {kind}; distillation takes recognizers of video clips: '
            'Recognizer2D or Recognizer3D'
        )
    if not isinstance(model.data_preprocessor, ActionDataPreprocessor):
        raise TypeError(
            f'the {role} is preprocessed by {type(model.data_preprocessor).__name__}; '
            'distillation takes one clip per sample: ActionDataPreprocessor'
        )
    for name in ('forward', 'forward_onesample', 'preprocess', 'cast_data'):
        found = type(model.data_preprocessor)
        if getattr(found, name) is not getattr(ActionDataPreprocessor, name):
            raise TypeError(
                f'the {role} is preprocessed by {found.__name__}, which has a {name}() '
                'of its own that distillation would not run; do it in the pipeline'
            )
    if not model.with_cls_head:
        raise ValueError(f'the {role} has no cls_head; give it one')
    return model


def is_multi_label(recognizer: BaseRecognizer) -> bool:
    """Whether its classes do not exclude each other, by its setting or its loss."""
    head = recognizer.cls_head
    return bool(head.multi_class) or isinstance(head.loss_cls, BCELossWithLogits)


_FROM_NOTHING = dict(
    pretrained=None,
    pretrained2d=False,
    pretrained_type=None,
    clip_pretrained=False,
    weights=None,
)
"""Settings of backbones that name weights, set to none."""


def without_pretrained(config: RecognizerConfig) -> dict[str, Any]:
    """The model dict without anything that would fetch or read other weights."""

    def strip(node: Any) -> Any:
        if isinstance(node, Mapping):
            # set rather than left out: some classes take weights by default
            return {
                key: _FROM_NOTHING.get(key, strip(value))
                for key, value in node.items()
                if not (key == 'init_cfg' and _is_pretrained(value))
            }
        if isinstance(node, (list, tuple)):
            return type(node)(strip(item) for item in node)
        return node

    plain: dict[str, Any] = strip(recognizer_config(config))
    backbone = plain['backbone']
    if str(backbone['type']).startswith('timm.'):
        backbone['pretrained'] = False
    return plain


def _is_pretrained(init_cfg: Any) -> bool:
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    kinds = [short_type(entry.get('type')) for entry in entries if entry]
    return any(kind in ('Pretrained', 'PretrainedInit') for kind in kinds)
