"""Each mend of the upstream stack: the symptom without it, and none with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmvkd import compat, packages

ROOT = Path(__file__).resolve().parents[1]

# One interpreter imports what is slow, then forks: each child gets the gaps (hidden
# modules, a transformers that fits nothing), all mends but one, and the use that shows
# the missing mend's symptom.
HARNESS = """
import importlib.util, io, json, os, sys, traceback
for name in ('importlib_metadata', 'pkg_resources'):
    sys.modules[name] = None
import numpy as np, torch, mmcv, mmengine.runner
from mmengine.config import Config
root, folder = sys.argv[1:]
sys.path[:0] = [root, os.path.join(folder, 'site')]

def load_compat():
    # not executed, because mmvkd/__init__ runs all mends
    package = importlib.util.module_from_spec(importlib.util.find_spec('mmvkd'))
    sys.modules['mmvkd'] = package
    return importlib.import_module('mmvkd.compat')

def models():
    import mmaction.models
    from mmaction.registry import MODELS
    assert MODELS.get('TSNHead') is not None

def by_name():
    from mmengine.hub import get_config
    assert get_config('mmaction::TSM').model.backbone.type == 'ResNetTSM'

def inherited():
    for name in ('of_mmaction.py', 'of_mmvkd.py'):
        assert len(Config.fromfile(os.path.join(folder, name))) > 0

def numpy_names():
    from mmaction.datasets.transforms import PoseCompact
    points = np.array([[[[2.0, 2.0], [6.0, 6.0]]]])
    PoseCompact(threshold=1)(dict(img_shape=(9, 9), keypoint=points))
    assert np.in1d([[1], [2]], [2]).tolist() == [False, True]
    assert np.trapz([1.0, 1.0]) == 1.0

def checkpoint():
    from mmengine.logging import HistoryBuffer
    buffer = io.BytesIO()
    torch.save(dict(history=HistoryBuffer([1.0], [1])), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)['history'].mean() == 1.0

def scratch():
    from mmaction.models.backbones import MobileNetV2TSM, ResNetTSM, SwinTransformer3D
    SwinTransformer3D('tiny', pretrained=None, pretrained2d=True).init_weights()
    MobileNetV2TSM(pretrained=None).init_weights()
    ResNetTSM(depth=18, pretrained=None).init_weights()

def tpn():
    from types import SimpleNamespace
    from mmaction.models.heads import TPNHead
    from mmaction.models.necks.tpn import AuxHead
    class Tested(torch.nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head
        def forward(self, clip):
            return self.head(clip, fcn_test=True)
    head = TPNHead(num_classes=2, in_channels=4).eval()
    clip = torch.rand(1, 4, 1, 2, 2)
    with torch.no_grad():
        head(clip, fcn_test=True)
        head.fc_cls.weight.mul_(-3)
        scores = head(clip, fcn_test=True)
        expected = head.fc_cls(clip.mean((2, 3, 4)))
    assert torch.allclose(scores, expected, atol=1e-6), 'scores of then'
    program = torch.export.export(Tested(head), (clip,), strict=False)
    assert torch.allclose(program.module()(clip), expected, atol=1e-6)
    aux = AuxHead(in_channels=4, out_channels=2).eval()
    for label in (torch.tensor([1]), torch.tensor([0.0, 1.0])):
        sample = SimpleNamespace(gt_label=label)
        losses = [
            aux.loss(clip.repeat(n, 1, 2, 2, 2), n * [sample])['loss_aux'].item()
            for n in (1, 2)
        ]
        assert abs(losses[0] - losses[1]) < 1e-6

def config_text():
    import yapf.yapflib.yapf_api as yapf
    from mmengine.config import Config
    calls, original = [], yapf.pytree_utils.ParseCodeToTree
    def counted(*args, **options):
        calls.append(args)
        return original(*args, **options)
    config = Config(dict(a=dict(b=1)))
    assert config.pretty_text == 'a = dict(b=1)\\n'
    yapf.pytree_utils.ParseCodeToTree = counted
    assert config.pretty_text == 'a = dict(b=1)\\n'
    config.a.b = 2
    assert config.pretty_text == 'a = dict(b=2)\\n'
    assert len(calls) == 1, f'formatted {len(calls)} times'

USES = dict(
    stub_missing_drn=models,
    alias_importlib_metadata=models,
    replace_pkg_resources=by_name,
    allow_mmengine_checkpoints=checkpoint,
    restore_numpy_names=numpy_names,
    skip_unfit_multimodal=models,
    mend_backbones_from_scratch=scratch,
    mend_tpn=tpn,
    remember_config_text=config_text,
    resolve_config_names=inherited,
)

def child(omitted):
    if not hasattr(np, 'trapezoid'):
        np.trapezoid = np.trapz
    removed = ('Inf', 'in1d', 'trapz')
    for name in removed:
        vars(np).pop(name, None)
    np.__all__ = [name for name in np.__all__ if name not in removed]
    compat = load_compat()
    for mend in compat.MENDS:
        if mend.__name__ != omitted:
            mend()
    for use in [USES[omitted]] if omitted else USES.values():
        use()

for omitted in [None, *USES]:
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        report = os.dup(1)
        os.dup2(sink, 1)
        try:
            child(omitted)
            outcome = 'works'
        except BaseException:
            outcome = traceback.format_exc().strip()
        os.write(report, (json.dumps([omitted, outcome]) + '\\n').encode())
        os._exit(0)
    os.waitpid(pid, 0)
"""


def any_config() -> str:
    """Name of one of the checkout's own configs, the main one if it is there."""
    folder = ROOT / 'configs'
    main = folder / 'distill' / 'graph_tsm_r50_to_r18.py'
    files = [main] if main.is_file() else sorted(folder.rglob('*.py'))
    assert files, f'no config below {folder}'
    return files[0].relative_to(folder).as_posix()


TSM = 'recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py'


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, str]:
    """What happens with all mends (key None) and without each one."""
    folder = tmp_path_factory.mktemp('gaps')
    (folder / 'of_mmaction.py').write_text(f"_base_ = ['mmaction::{TSM}']\n")
    (folder / 'of_mmvkd.py').write_text(f"_base_ = ['mmvkd::{any_config()}']\n")
    unfit = folder / 'site' / 'transformers'
    unfit.mkdir(parents=True)
    (unfit / '__init__.py').write_text('')
    info = folder / 'site' / 'transformers-99.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: transformers\nVersion: 99.0\n')
    harness = HARNESS.replace('::TSM', f'::{TSM}')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', harness, str(ROOT), str(folder)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=str(folder),
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


def test_a_stack_with_every_gap_works_with_all_mends(
    outcomes: dict[str | None, str],
) -> None:
    assert outcomes[None] == 'works'


@pytest.mark.parametrize(
    ('mend', 'symptom'),
    [
        ('stub_missing_drn', "No module named 'mmaction.models.localizers.drn'"),
        ('alias_importlib_metadata', 'importlib_metadata'),
        ('replace_pkg_resources', 'pkg_resources'),
        ('allow_mmengine_checkpoints', 'HistoryBuffer'),
        ('restore_numpy_names', 'np.Inf'),
        ('skip_unfit_multimodal', 'transformers'),
        ('mend_backbones_from_scratch', 'expected string or bytes-like object'),
        ('mend_tpn', 'scores of then'),
        ('remember_config_text', 'formatted 2 times'),
        ('resolve_config_names', 'does not support to load mmvkd config'),
    ],
)
def test_without_a_mend_its_symptom_shows(
    outcomes: dict[str | None, str], mend: str, symptom: str
) -> None:
    folder = packages.package_folder('mmaction')
    assert folder is not None
    drn = folder / 'models' / 'localizers' / 'drn'
    if mend == 'stub_missing_drn' and drn.exists():
        assert outcomes[mend] == 'works'
        return
    assert symptom in outcomes[mend]


def test_mends_can_be_applied_again_without_effect() -> None:
    def state() -> tuple[Any, ...]:
        from mmaction.models.backbones import ResNetTSM

        return (
            len(torch.serialization.get_safe_globals()),
            list(sys.meta_path),
            ResNetTSM.init_weights,
            Config._get_cfg_path,
            sys.modules.get('mmaction.models.localizers.drn'),
            vars(np).get('Inf'),
        )

    before = state()
    compat.apply()
    assert state() == before


def test_importing_the_mends_imports_no_models_and_nothing_else_of_ours() -> None:
    code = (
        'import sys, mmvkd.compat; print(*sorted(m for m in sys.modules if "drn" not '
        'in m and m.split(".")[0] in ("mmaction", "mmvkd")))'
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        check=True,
        capture_output=True,
        text=True,
        cwd=str(ROOT),
    )
    ours = ('compat', 'packages', 'registry', 'safe_loading')
    assert done.stdout.split() == ['mmvkd', *(f'mmvkd.{name}' for name in ours)]


def test_the_missing_localizer_says_so_when_it_is_built() -> None:
    stub = sys.modules.get('mmaction.models.localizers.drn.drn')
    if stub is None or hasattr(stub, '__file__'):
        pytest.skip('this mmaction2 has its DRN')
    with pytest.raises(ImportError, match='mmaction2 #2714'):
        vars(stub)['DRN']()


def test_packages_are_found_without_pkg_resources() -> None:
    assert packages.is_installed('mmaction2')
    assert packages.is_installed('mmaction')
    assert not packages.is_installed('no_such_package')
    import mmaction

    folder = str(Path(str(mmaction.__file__)).parent)
    assert packages.get_installed_path('mmaction2') == folder
    assert packages.get_installed_path('mmaction') == folder
    with pytest.raises(ModuleNotFoundError, match='no_such_package'):
        packages.get_installed_path('no_such_package')


# --- color jitter ---------------------------------------------------------------------


def test_color_jitter_takes_negative_hues() -> None:
    from mmaction.datasets.transforms import ColorJitter

    image = np.random.RandomState(0).randint(0, 256, (8, 9, 3)).astype(np.float32)
    turned = ColorJitter.adjust_hue(image, -0.1)
    assert turned.shape == image.shape
    assert turned.dtype == np.float32
    jitter = ColorJitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=(-0.5, -0.1))
    out = jitter(dict(imgs=[image.astype(np.uint8)]))['imgs'][0]
    assert not np.array_equal(out, image)


def overflowing(img: np.ndarray, factor: float) -> np.ndarray:
    """Act as MMAction2's method does on NumPy 2."""
    if factor < 0:
        raise OverflowError('Python integer -25 out of bounds for uint8')
    return img


def test_only_an_overflowing_color_jitter_is_mended() -> None:
    import cv2

    def of(method: Any) -> types.ModuleType:
        module = types.ModuleType('processing')
        vars(module)['ColorJitter'] = type('ColorJitter', (), dict(adjust_hue=method))
        return module

    sound = of(staticmethod(lambda img, factor: img))
    before = vars(sound)['ColorJitter'].adjust_hue
    compat._mend_color_jitter(sound)
    assert vars(sound)['ColorJitter'].adjust_hue is before

    broken = of(staticmethod(overflowing))
    compat._mend_color_jitter(broken)
    mended = vars(broken)['ColorJitter'].adjust_hue
    image = np.random.RandomState(1).randint(0, 256, (16, 16, 3)).astype(np.float32)
    assert mended(image, 0.1) is image
    hsv = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.int64)
    for factor in (-0.5, -0.3, -0.01):
        hue = (hsv[..., 0] + int(factor * 255)) % 180
        wanted = np.concatenate([hue[..., None], hsv[..., 1:]], -1).astype(np.uint8)
        np.testing.assert_array_equal(
            mended(image, factor), cv2.cvtColor(wanted, cv2.COLOR_HSV2RGB)
        )


# --- config names ---------------------------------------------------------------------


def test_our_configs_keep_the_scope_of_who_inherits_them(tmp_path: Path) -> None:
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['mmvkd::{any_config()}']\n")
    direct = Config.fromfile(str(ROOT / 'configs' / any_config()))
    assert Config.fromfile(str(child)).to_dict() == direct.to_dict()


@pytest.fixture
def checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[types.SimpleNamespace]:
    """A package whose configs lie beside it, as in a checkout without ``.mim``."""
    (tmp_path / 'setup.py').write_text('')
    (tmp_path / 'beside').mkdir()
    (tmp_path / 'beside' / '__init__.py').write_text('')
    config = tmp_path / 'configs' / 'some' / 'thing.py'
    config.parent.mkdir(parents=True)
    config.write_text("model = dict(type='Thing')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODULE2PACKAGE, 'beside', 'beside')
    yield types.SimpleNamespace(folder=tmp_path, config=config)
    sys.modules.pop('beside', None)


def test_a_checkout_without_mim_resolves_too(checkout: types.SimpleNamespace) -> None:
    child = checkout.folder / 'child.py'
    child.write_text("_base_ = ['beside::some/thing.py']\n")
    model = Config.fromfile(str(child)).model
    assert model == dict(type='Thing', _scope_='beside')


def test_an_unknown_config_names_near_ones(checkout: types.SimpleNamespace) -> None:
    assert packages.config_file('beside::some/thing.py') == str(checkout.config)
    assert packages.config_file('plain/path.py') == 'plain/path.py'
    with pytest.raises(FileNotFoundError, match=r'thong.* near: some/thing\.py'):
        packages.config_file('beside::some/thong.py')
    with pytest.raises(ModuleNotFoundError, match='no_such_package'):
        packages.config_file('no_such_package::some/thing.py')


def test_a_config_of_mmaction_is_found_by_name() -> None:
    file = packages.config_file(f'mmaction::{TSM}')
    assert Config.fromfile(file).model.backbone.type == 'ResNetTSM'
