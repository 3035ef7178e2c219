"""On a GPU: the losses, steps and runs of the host."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope
from recognizer_toys import build, config, losses, plain, teacher
from tools.small_project import TOOLS, Project
from torch import Tensor
from toys import batch, tiny_tsm

from mmvkd.models.checkpoints import read_checkpoint
from mmvkd.models.losses import prototype_cost, sinkhorn, sinkhorn_barycenter
from mmvkd.run_logs import logged

GPU = 'cuda'

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU here')

LAYER4 = 'backbone.layer4'
HEADS: dict[str, dict[str, Any]] = dict(
    kd=dict(type='mmvkd.KDHead'),
    dist=dict(type='mmvkd.DISTHead'),
    dkd=dict(type='mmvkd.DKDHead'),
    fitnets=dict(type='mmvkd.FitNetsHead', tap=LAYER4),
    logits_graph=dict(type='mmvkd.LogitsGraphHead', edges='learned'),
    barycenter=dict(type='mmvkd.LogitsGraphHead', barycenter=True),
    representation_graph=dict(type='mmvkd.RepresentationGraphHead', tap=LAYER4),
    samples=dict(type='mmvkd.RepresentationGraphHead', tap=LAYER4, joint=False),
    spectrum=dict(
        type='mmvkd.SpectrumHead', tap=LAYER4, terms=dict(amplitude=1, coherence=1)
    ),
    parameter=dict(type='mmvkd.ParameterHead', terms=dict(energy=1, quantile=1)),
    substage=dict(type='mmvkd.SubstageHead'),
)


@pytest.fixture(autouse=True)
def full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions of 23 bits, as on the host."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


def gradients(model: torch.nn.Module, data: dict) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of a training step, and the gradient of all of the student."""
    model.train()
    torch.manual_seed(0)
    terms = losses(model, data)
    model.parse_losses(terms)[0].backward()
    own = [p.grad for _, p in sorted(model.named_parameters()) if p.grad is not None]
    found = {name: x.detach().cpu() for name, x in terms.items() if x.ndim == 0}
    return found, torch.cat([grad.flatten().cpu() for grad in own])


@pytest.mark.parametrize('name', HEADS)
def test_a_head_gives_the_losses_and_gradients_of_the_host(name: str) -> None:
    student = tiny_tsm()
    student['cls_head']['dropout_ratio'] = 0  # drawn by the device's own generator
    teachers = dict(a=teacher(), b=teacher())
    on_host = build(config(student, teachers, {name: HEADS[name]}))
    data = batch(4)
    on_gpu = copy.deepcopy(on_host).to(GPU)
    here, own = gradients(on_host, data)
    there, theirs = gradients(on_gpu, data)
    assert set(here) == set(there)
    for term, value in here.items():
        torch.testing.assert_close(there[term], value, rtol=1e-3, atol=1e-4, msg=term)
    assert torch.cosine_similarity(own, theirs, dim=0) > 0.999
    torch.testing.assert_close(theirs.norm(), own.norm(), rtol=1e-2, atol=0)


@pytest.mark.parametrize('classes', [5, 17, 174, 400])
@pytest.mark.parametrize('clips', [1, 3, 32])
def test_equal_distributions_have_a_gradient_of_exactly_zero(
    clips: int, classes: int
) -> None:
    torch.manual_seed(0)
    cost = prototype_cost([torch.randn(classes, 32, device=GPU)])
    p = (4 * torch.randn(clips, classes, device=GPU)).softmax(-1)
    q = p.clone().requires_grad_()
    result = sinkhorn(p, q, cost)
    result.divergence.sum().backward()
    assert result.divergence.count_nonzero() == 0
    assert q.grad.count_nonzero() == 0


@pytest.mark.parametrize('clips', [1, 8])
def test_a_single_vertex_is_its_own_barycenter(clips: int) -> None:
    torch.manual_seed(0)
    cost = prototype_cost([torch.randn(100, 32, device=GPU)])
    p = (4 * torch.randn(clips, 1, 100, device=GPU)).softmax(-1)
    found = sinkhorn_barycenter(p, torch.ones(clips, 1, device=GPU), cost)
    torch.testing.assert_close(found.rows, p[:, 0], rtol=1e-5, atol=1e-7)


def test_transport_is_that_of_the_host_in_its_updates_too() -> None:
    torch.manual_seed(0)
    cost = prototype_cost([torch.randn(100, 32)])
    p, q = (4 * torch.randn(2, 16, 100)).softmax(-1)
    here, there = (
        sinkhorn(p.to(device), q.to(device), cost.to(device)) for device in ('cpu', GPU)
    )
    torch.testing.assert_close(there.divergence.cpu(), here.divergence)
    assert (there.iterations.cpu() - here.iterations).abs().max() <= 5
    assert there.error.max() < 1.1e-4


def test_700_classes_of_4_teachers_and_64_clips_take_less_than_300_mb() -> None:
    torch.manual_seed(0)
    cost = prototype_cost([torch.randn(700, 512, device=GPU)])
    p = torch.randn(256, 700, device=GPU).softmax(-1)
    q = torch.randn(256, 700, device=GPU).softmax(-1).requires_grad_()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    sinkhorn(p, q, cost).divergence.mean().backward()
    assert torch.cuda.max_memory_allocated() - before < 300e6


def test_a_frozen_teacher_follows_the_student_to_the_device() -> None:
    model = build(config()).to(GPU)
    (frozen,) = model.teachers.values()
    assert {p.device.type for p in frozen.model.parameters()} == {GPU}
    assert not any(key.startswith('teachers') for key in model.state_dict())


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Videos, configs and a teacher."""
    init_default_scope('mmaction')
    made = Project(tmp_path_factory.mktemp('project'))
    torch.manual_seed(0)
    torch.save(plain(tiny_tsm()).state_dict(), made.teacher)
    return made


def call(tool: str, *words: str) -> None:
    """Run one of the tools as a user does."""
    done = subprocess.run(
        [sys.executable, str(TOOLS / f'{tool}.py'), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'CUBLAS_WORKSPACE_CONFIG': ':4096:8'},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_resumed_run_ends_like_the_one_that_was_not_stopped(project: Project) -> None:
    settings: dict[str, Any] = dict(
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=1),
        randomness=dict(seed=3, deterministic=True),
    )
    whole = project.distiller('whole', **settings)
    call('train', whole)
    # stopped after an epoch
    parts = project.distiller('parts', **settings)
    call('train', parts, '--cfg-options', 'train_cfg.max_epochs=1')
    call('train', parts, '--resume')
    folder = project.folder / 'work'
    one, other = (
        read_checkpoint(str(folder / name / 'epoch_2.pth'))['state_dict']
        for name in ('whole', 'parts')
    )
    assert set(one) == set(other)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision_trains(dtype: str, project: Project) -> None:
    heads = {name: HEADS[name] for name in ('logits_graph', 'spectrum', 'substage')}
    file = project.distiller(f'amp_{dtype}', model=dict(heads=heads))
    call('train', file, '--amp', '--cfg-options', f'optim_wrapper.dtype={dtype}')
    folder = project.folder / 'work' / f'amp_{dtype}'
    objective = [line['loss'] for line in logged(folder) if 'loss' in line]
    assert objective and all(map(math.isfinite, objective))
    # a step was taken: not all were skipped for an overflow
    optimizer = read_checkpoint(str(folder / 'epoch_1.pth'))['optimizer']['state']
    assert any(entry['momentum_buffer'].any() for entry in optimizer.values())


def test_a_kept_teacher_teaches_on_the_device(project: Project) -> None:
    file = project.distiller('kept')
    store = project.folder / 'store'
    sets = [
        'model.teachers.t.type=mmvkd.CachedTeacher',
        f'model.teachers.t.store={store}',
        'train_dataloader.sampler.views=1',
    ]
    call('cache_teacher', file, '--cfg-options', *sets)
    call('train', file, '--cfg-options', *sets)
    assert (project.folder / 'work' / 'kept' / 'epoch_1.pth').is_file()
