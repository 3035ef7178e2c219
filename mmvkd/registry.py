"""The registries of mmvkd, children of MMEngine's, filled on first use.

Configs keep ``default_scope = 'mmaction'`` and give our own types the prefix
``mmvkd.``; a registry imports its modules when the first such name is looked up.
"""

from __future__ import annotations

from typing import Any

import mmengine.registry as mmengine

_MODELS = ['mmvkd.models']
_DATASETS = ['mmvkd.datasets']
_ENGINE = ['mmvkd.engine']


def _child(parent: mmengine.Registry, locations: list[str]) -> mmengine.Registry:
    return mmengine.Registry(
        parent.name, parent=parent, scope='mmvkd', locations=locations
    )


MODELS = _child(mmengine.MODELS, _MODELS)
DATASETS = _child(mmengine.DATASETS, _DATASETS)
DATA_SAMPLERS = _child(mmengine.DATA_SAMPLERS, _DATASETS)
TRANSFORMS = _child(mmengine.TRANSFORMS, _DATASETS)
WEIGHT_INITIALIZERS = _child(mmengine.WEIGHT_INITIALIZERS, _MODELS)
HOOKS = _child(mmengine.HOOKS, _ENGINE)
PARAM_SCHEDULERS = _child(mmengine.PARAM_SCHEDULERS, _ENGINE)
OPTIM_WRAPPER_CONSTRUCTORS = _child(mmengine.OPTIM_WRAPPER_CONSTRUCTORS, _ENGINE)


def short_type(kind: Any) -> str:
    """The bare name of a config's ``type``, which is a string or a class."""
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]
