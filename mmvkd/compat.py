"""Mends for gaps in upstream packages.

``import mmvkd`` calls :func:`apply`, which runs every function of :data:`MENDS`, one
per gap in the latest releases. A mend does nothing where its gap is absent, can run any
number of times, and changes nothing that works. A mend for MMAction2's modules waits
until they are imported, so that importing this package stays cheap.
``custom_imports = dict(imports=['mmvkd.compat'])`` in a config brings the mends to
MMAction2's own tools.

Not mended but pinned in ``requirements/``: mmcv must lie in [2.0.0rc4, 2.2.0), and
torchvision must be the build that belongs to torch.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmvkd.packages import (
    config_file,
    get_installed_path,
    is_installed,
    package_folder,
)
from mmvkd.safe_loading import allow_mmengine_checkpoints

ModuleMend = Callable[[types.ModuleType], None]


class _AfterImport(importlib.abc.MetaPathFinder):
    """Runs a mend right after the module that it is for has been imported."""

    def __init__(self) -> None:
        self.mends: dict[str, ModuleMend] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        mend = self.mends.get(fullname)
        if mend is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_mend(module: types.ModuleType) -> None:
            execute(module)
            mend(module)

        # On this one loader, so that nothing else about the module changes.
        vars(spec.loader)['exec_module'] = execute_and_mend
        return spec


_AFTER_IMPORT = _AfterImport()


def _after_import(name: str, mend: ModuleMend) -> None:
    """Call ``mend(module)`` now if ``name`` is imported, else once it is."""
    if name in sys.modules:
        mend(sys.modules[name])
        return
    _AFTER_IMPORT.mends[name] = mend
    if _AFTER_IMPORT not in sys.meta_path:
        sys.meta_path.insert(0, _AFTER_IMPORT)


def stub_missing_drn() -> None:
    """Stand in for a package that MMAction2's wheel lacks.

    Symptom: ``import mmaction.models`` ends in ``No module named
    'mmaction.models.localizers.drn'``. Condition: that folder is missing. The stub's
    ``DRN``, a temporal localizer, says so when it is built. Upstream: mmaction2 #2714.
    """
    name = 'mmaction.models.localizers.drn'
    folder = package_folder('mmaction')
    if folder is None or name in sys.modules:
        return
    if (folder / 'models' / 'localizers' / 'drn').exists():
        return

    class DRN:
        """Stands in for the localizer whose source the wheel lacks."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ImportError(
                'DRN is not in the mmaction2 wheel (mmaction2 #2714); '
                'install MMAction2 from its repository to use it'
            )

    package = types.ModuleType(name, 'Stub of a folder that the wheel lacks.')
    package.__path__ = []
    module = types.ModuleType(f'{name}.drn', 'Stub of a file that the wheel lacks.')
    vars(module)['DRN'] = DRN
    vars(package)['drn'] = module
    sys.modules[name] = package
    sys.modules[f'{name}.drn'] = module


def alias_importlib_metadata() -> None:
    """Give MMAction2 its undeclared dependency from the standard library.

    Symptom: ``import mmaction.models`` ends in ``No module named
    'importlib_metadata'``. Condition: that backport is not installed. Upstream:
    ``mmaction/utils/dependency.py``, not among mmaction2's requirements.
    """
    try:
        importlib.import_module('importlib_metadata')
    except ImportError:
        sys.modules['importlib_metadata'] = importlib.metadata


def replace_pkg_resources() -> None:
    """Let MMEngine find installed packages without ``pkg_resources``.

    Symptom: ``_base_ = 'mmaction::…'`` ends in ``No module named 'pkg_resources'``.
    Condition: setuptools is absent or so new that it no longer brings that module.
    MMEngine's two look-ups are replaced by ones over :mod:`importlib.metadata`.
    ``pkg_resources`` itself is not faked, because other packages ask whether it exists.
    Upstream: ``mmengine/utils/package_utils.py``.
    """
    if importlib.util.find_spec('pkg_resources') is not None:
        return
    from mmengine.utils import package_utils

    for replacement in (is_installed, get_installed_path):
        original = vars(package_utils)[replacement.__name__]
        for module in list(sys.modules.values()):
            names = getattr(module, '__dict__', {})
            if names.get(replacement.__name__) is original:
                names[replacement.__name__] = replacement


def say_nothing_of_full_mmcv() -> None:
    """Silence mmcv-lite's hint to install mmcv beside it.

    Symptom: every tool begins with "You should install ``mmcv`` rather than
    ``mmcv-lite``", for an operator that no recognizer here needs; installed together,
    the two break each other. Upstream: ``mmcv/cnn/bricks/transformer.py``.
    """
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention')


def restore_numpy_names() -> None:
    """Bring back the NumPy names that MMAction2 still uses.

    Symptom: ``np.Inf`` (pose transforms), ``np.in1d`` (retrieval metrics) or
    ``np.trapz`` (AR@AN) ``was removed``. Condition: the name is not there (NumPy ≥ 2.0
    or ≥ 2.4). Upstream: mmaction2 1.2.0 predates NumPy 2.
    """
    if not hasattr(np, 'Inf'):
        vars(np)['Inf'] = np.inf
    if not hasattr(np, 'in1d'):
        vars(np)['in1d'] = _in1d
    if not hasattr(np, 'trapz'):
        vars(np)['trapz'] = vars(np)['trapezoid']


def _in1d(ar1: Any, ar2: Any, **kwargs: Any) -> np.ndarray:
    """Tell for each element of the flattened ``ar1`` whether ``ar2`` has it."""
    return np.isin(np.ravel(ar1), ar2, **kwargs)


def mend_color_jitter() -> None:
    """Keep MMAction2's ``ColorJitter`` from overflowing on a negative hue.

    Symptom: ``OverflowError: Python integer -12 out of bounds for uint8`` in about half
    of the calls. Condition: a negative hue raises it (NumPy ≥ 2). The mend gives what
    NumPy 1 gives; positive hues use the original. Upstream: mmaction2 1.2.0 predates
    NumPy 2.
    """
    _after_import('mmaction.datasets.transforms.processing', _mend_color_jitter)


def _mend_color_jitter(module: types.ModuleType) -> None:
    jitter = vars(module)['ColorJitter']
    original = jitter.adjust_hue
    try:
        original(np.zeros((1, 1, 3), np.float32), -0.1)
        return
    except OverflowError:
        pass
    import cv2

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        """Turn the hue of an RGB image (H, W, 3) in [0, 255] by ``factor`` turns."""
        if int(factor * 255) >= 0:
            return original(img, factor)
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hue = hsv[..., 0].astype(np.int16) + int(factor * 255)
        hsv[..., 0] = (hue % 180).astype(np.uint8)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    jitter.adjust_hue = staticmethod(adjust_hue)


def skip_unfit_multimodal() -> None:
    """Turn upstream's multimodal models off where their imports cannot work.

    Symptom: with ``transformers`` installed, ``import mmaction.models`` ends in ``No
    module named 'timm'`` or ``cannot import name 'apply_chunking_to_forward'``.
    Condition: ``transformers`` is installed and it or ``timm`` lacks a name that the
    multimodal models import. They become the placeholders that upstream uses when
    ``transformers`` is absent. Upstream: mmaction2 1.2.0 and mmpretrain 1.2.0 were
    written for transformers 4.28 to 4.30.
    """
    for package in ('mmaction', 'mmpretrain'):
        _after_import(f'{package}.utils.dependency', _skip_unfit_multimodal)


def _skip_unfit_multimodal(module: types.ModuleType) -> None:
    if not vars(module).get('WITH_MULTIMODAL', False):
        return
    models = Path(str(module.__file__)).parents[1] / 'models'
    missing = _first_missing_import(models, ('transformers', 'timm'))
    if missing is not None:
        vars(module)['WITH_MULTIMODAL'] = False
        warnings.warn(
            f'{module.__name__.split(".")[0]} is used without its multimodal models: '
            f'they need {missing}, which the installed packages lack',
            stacklevel=2,
        )


def _first_missing_import(folder: Path, packages: tuple[str, ...]) -> str | None:
    """Return the first name that a module-level import of ``packages`` cannot get."""
    for file in sorted(folder.rglob('*.py')):
        source = file.read_text(encoding='utf-8')
        if not any(package in source for package in packages):
            continue
        for node in ast.parse(source).body:
            if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
                continue
            if node.module.split('.')[0] not in packages:
                continue
            for alias in node.names:
                # transformers imports lazily, and then anything can go wrong.
                try:
                    getattr(importlib.import_module(node.module), alias.name)
                except Exception:
                    return f'{node.module}.{alias.name}'
    return None


def mend_backbones_from_scratch() -> None:
    """Let TSM and Video Swin backbones with ``pretrained=None`` start from scratch.

    Symptom: ``ResNetTSM(pretrained=None)`` dies in ``init_weights`` while loading a
    checkpoint named ``None``, unless ``pretrained2d=False`` is given as well, as in our
    configs. Condition: such a backbone is built without ``pretrained``. Upstream:
    mmaction2 1.2.0, ``init_weights`` of these backbones only checks ``pretrained2d``.
    """
    for file, name in (
        ('resnet_tsm', 'ResNetTSM'),
        ('mobilenet_v2_tsm', 'MobileNetV2TSM'),
        ('swin', 'SwinTransformer3D'),
    ):
        mend = partial(_mend_from_scratch, name)
        _after_import(f'mmaction.models.backbones.{file}', mend)


def _mend_from_scratch(name: str, module: types.ModuleType) -> None:
    backbone = vars(module)[name]
    original = backbone.init_weights
    if original.__module__ == __name__:
        return

    def init_weights(self: Any) -> None:
        """Initialize from ``pretrained`` if there is one, else from scratch."""
        if self.pretrained is None:
            super(backbone, self).init_weights()
        else:
            original(self)

    backbone.init_weights = init_weights


def mend_tpn() -> None:
    """Let TPN be tested with its weights of now, and learn from one soft label.

    Symptom: with ``fcn_test=True``, all tests of a run after the first have the scores
    of the classifier that the first one copied; and ``AuxHead.loss`` dies on a batch of
    one clip whose label is soft. Condition: always. Upstream: mmaction2 1.2.0,
    ``TPNHead._init_new_cls`` and ``AuxHead.loss``.
    """
    _after_import('mmaction.models.heads.tpn_head', _mend_tpn_head)
    _after_import('mmaction.models.necks.tpn', _mend_tpn_aux)


def _mend_tpn_head(module: types.ModuleType) -> None:
    import torch

    # a copy would be part of the program; older torch only tells compiling
    exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)
    head = vars(module)['TPNHead']
    original = head.forward
    if original.__module__ == __name__:
        return

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        """The scores, from a copy of the classifier as it is now."""
        if self.new_cls is not None and not exporting():
            weight = self.fc_cls.weight.detach()
            self.new_cls.weight.data.copy_(weight[..., None, None, None])
            self.new_cls.bias.data.copy_(self.fc_cls.bias.detach())
        return original(self, *args, **kwargs)

    head.forward = forward


def _mend_tpn_aux(module: types.ModuleType) -> None:
    import torch

    def loss(self: Any, x: Any, data_samples: Any) -> dict[str, Any]:
        """The auxiliary loss of labels, (N, 1), or of soft ones, (N, classes)."""
        labels = torch.stack([sample.gt_label for sample in data_samples])
        if labels.shape[1:] == (1,):
            labels = labels.squeeze(1)
        scores = self(x)
        loss = self.loss_weight * self.loss_cls(scores, labels.to(scores.device))
        return dict(loss_aux=loss)

    vars(module)['AuxHead'].loss = loss


def remember_config_text() -> None:
    """Format a config once instead of at every checkpoint.

    Symptom: each ``save_checkpoint`` waits about a second for YAPF to format the whole
    config again. Condition: MMEngine formats with YAPF. Upstream: mmengine 0.10.7,
    ``Config.pretty_text``.
    """
    _after_import('mmengine.config.config', _remember_config_text)


def _remember_config_text(module: types.ModuleType) -> None:
    original = getattr(module, 'FormatCode', None)
    if original is None or original.__module__ == __name__:
        return
    known: dict[tuple, Any] = {}

    def format_code(text: str, **options: Any) -> Any:
        """Format ``text``, or return the result from before."""
        key = (text, repr(sorted(options.items())))
        if key not in known:
            if len(known) >= 8:
                known.clear()
            known[key] = original(text, **options)
        return known[key]

    vars(module)['FormatCode'] = format_code


def resolve_config_names() -> None:
    """Make ``_base_ = ['mmvkd::…']`` work in every kind of install.

    Symptom: ``mmengine does not support to load mmvkd config``; also, there is no
    ``.mim`` folder after ``pip install -e .`` with PEP 660 or in a plain checkout,
    including one of MMAction2. Condition: MMEngine does not know the scope or does not
    find the file. Our configs keep the default scope of whoever inherits them,
    ``mmaction``. Upstream: ``Config._get_cfg_path`` reads a fixed table of packages
    while parsing, before ``custom_imports``.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmvkd', 'mmvkd')
    original = Config._get_cfg_path
    if original.__module__ == __name__:
        return

    def _get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        """Return the file that a ``_base_`` entry names, and its scope."""
        scope, colons, _ = cfg_path.partition('::')
        if colons and scope == 'mmvkd':
            return config_file(cfg_path), None
        try:
            return original(cfg_path, filename)
        except (FileNotFoundError, ModuleNotFoundError):
            if not colons:
                raise
            return config_file(cfg_path), scope

    Config._get_cfg_path = staticmethod(_get_cfg_path)


MENDS: tuple[Callable[[], None], ...] = (
    stub_missing_drn,
    alias_importlib_metadata,
    replace_pkg_resources,
    allow_mmengine_checkpoints,
    restore_numpy_names,
    say_nothing_of_full_mmcv,
    mend_color_jitter,
    skip_unfit_multimodal,
    mend_backbones_from_scratch,
    mend_tpn,
    remember_config_text,
    resolve_config_names,
)


def apply() -> None:
    """Run every mend."""
    for mend in MENDS:
        mend()
