"""One process or two give the same gradients for the same global batch."""

from __future__ import annotations

import copy
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dist import all_reduce_params
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner
from runs import fork, run_config, tiny_student
from torch import Tensor, nn
from toys import tiny_tsm
from videos import write_list

from mmvkd.engine.distributed import prepare_distributed
from mmvkd.models import RepresentationGraphHead
from mmvkd.models.gather import clip_mean, gather
from mmvkd.models.heads.edge_network import EdgeNetwork

RANKS = 2
CLIPS = 6


class GlobalBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the global batch, on the host, where torch has none."""

    def forward(self, x: Tensor) -> Tensor:
        everything = super().forward(gather(x))
        if not dist.is_initialized():
            return everything
        # a copy, for the activation behind it works in place
        return everything.chunk(RANKS)[dist.get_rank()].clone()


def synchronize(module: nn.Module) -> None:
    """Turn every BatchNorm below ``module`` into a global one."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = GlobalBatchNorm


BLENDED = [[0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.4, 0.0, 0.6]] * 2


def distiller(norm: str, mutual: bool = False, blended: bool = False) -> nn.Module:
    """A distiller with all terms that the labels allow, in float64, without dropout."""
    student, teacher = tiny_student(), tiny_tsm()
    for recognizer in (student, teacher):
        recognizer['cls_head']['dropout_ratio'] = 0.0
        recognizer['backbone']['norm_eval'] = norm == 'frozen'
    if norm == 'frozen':
        # each rank's mean is over what its own clips weigh
        student['cls_head'].update(
            loss_cls=dict(type='CrossEntropyLoss', class_weight=[1.0, 5.0, 0.2, 3.0]),
            label_smooth_eps=0.1,
        )
    heads: dict[str, Any] = dict(
        kd=dict(type='mmvkd.KDHead', temperature=2.0),
        zscore=dict(type='mmvkd.ZScoreKDHead'),
        dist=dict(type='mmvkd.DISTHead', inter_weight=0.7, intra_weight=3.0),
        dkd=dict(type='mmvkd.DKDHead', beta=2.0),
        fitnets=dict(
            type='mmvkd.FitNetsHead',
            tap='backbone.layer2',
            teacher_tap='backbone.layer3',
        ),
        graph=dict(type='mmvkd.LogitsGraphHead', edges='confidence'),
        spectrum=dict(
            type='mmvkd.SpectrumHead',
            tap='backbone.layer2',
            terms=dict(amplitude=1.0, energy=1.0, coherence=1.0),
        ),
        parameter=dict(
            type='mmvkd.ParameterHead',
            stages={'backbone.layer2': 'backbone.layer2'},
            max_filters=4096,
        ),
        learned=dict(
            type='mmvkd.LogitsGraphHead', edges='learned', barycenter=True, tol=1e-6
        ),
        pairs=dict(
            type='mmvkd.RepresentationGraphHead',
            tap='backbone.layer2',
            teacher_tap='backbone.layer3',
            pool='clip',
            joint=False,
            dim=32,
            min_vectors=8,
            edges='learned',
        ),
        places=dict(
            type='mmvkd.RepresentationGraphHead',
            tap='backbone.layer2',
            dim=32,
        ),
        substage=dict(
            type='mmvkd.SubstageHead',
            correlation='cka',
            terms=dict(combination=1.0, distribution=1.0),
            hybrids='all',
            combined=['front', 'back'],
            substages=dict(
                front=dict(student='backbone.layer1', teacher='backbone.layer2'),
                back=dict(student='backbone.layer2', teacher='backbone.layer3'),
            ),
        ),
    )
    if mutual:
        for name in ('graph', 'learned', 'pairs', 'places', 'substage'):
            del heads[name]
    if blended:
        heads = dict(kd=heads['kd'])
    teachers = {
        name: dict(type='mmvkd.RecognizerTeacher', model=teacher, checkpoint='random')
        for name in ('ab' if mutual else 'abc')
    }
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmvkd.VideoDistiller',
            student=student,
            teachers=teachers,
            heads=heads,
            balancer=dict(type='mmvkd.UncertaintyBalancer'),
            mutual=mutual,
        )
    )
    model.init_weights()
    for teacher in model.teachers.values():
        # a fresh head gives nearly uniform classes
        nn.init.normal_(teacher.model.cls_head.fc_cls.weight, std=1.0)
    nn.init.normal_(model.student.cls_head.fc_cls.weight, std=0.3)
    for module in model.modules():
        if isinstance(module, EdgeNetwork):
            # edges that are not uniform
            nn.init.normal_(module.weight, std=0.5)
    if norm == 'synchronized':
        synchronize(model)
    return model.train()


def clips(labels: list[Any]) -> dict[str, Any]:
    """The global batch."""
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=generator)
        for _ in labels
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in labels]
    return dict(inputs=inputs, data_samples=samples)


def share(batch: dict[str, Any], rank: int) -> dict[str, Any]:
    """The part of the global batch that a rank gets."""
    size = len(batch['inputs']) // RANKS
    return {key: value[rank * size : (rank + 1) * size] for key, value in batch.items()}


def gradients(model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Gradients of the objective, by parameter."""
    inner = getattr(model, 'module', model)
    data = inner.data_preprocessor(batch, training=True)
    entries = model(**data, mode='loss')
    loss, _ = inner.parse_losses(entries)
    loss.backward()
    return {
        name: parameter.grad
        for name, parameter in inner.named_parameters()
        if parameter.requires_grad
    }


def join(rank: int, folder: str) -> None:
    """Start the process group of a rank."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/group', rank=rank, world_size=RANKS
    )


def gradients_of_rank(
    rank: int, folder: str, norm: str, labels: list[Any], mutual: bool
) -> None:
    """Save what a rank ends up with; the body of a child process."""
    join(rank, folder)
    model = MMDistributedDataParallel(
        distiller(norm, mutual, labels == BLENDED),
        device_ids=None,
        find_unused_parameters=False,
    )
    batch = share(clips(labels), rank)
    found = {k: g.clone() for k, g in gradients(model, batch).items()}
    # a second step: every parameter took part in the first
    model.zero_grad()
    gradients(model, batch)
    state = copy.deepcopy(model.module.state_dict())
    # as SyncBuffersHook does: what is equal on all ranks stays
    all_reduce_params(model.module.distill.buffers(), op='mean')
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, state[name]), name
    torch.save(dict(gradients=found, state=state), f'{folder}/rank{rank}.pth')


@pytest.mark.parametrize('mutual', [False, True], ids=['frozen teachers', 'mutual'])
@pytest.mark.parametrize('norm', ['frozen', 'synchronized'])
@pytest.mark.parametrize(
    'labels',
    [
        pytest.param([0, 1, 2, 3, 0, 1], id='labeled'),
        pytest.param([-1, -1, -1, 2, -1, 3], id='one rank unlabeled'),
        pytest.param([-1] * CLIPS, id='unlabeled'),
    ],
)
def test_two_processes_give_the_gradients_of_one(
    tmp_path: Path, norm: str, labels: list[int], mutual: bool
) -> None:
    model = distiller(norm, mutual)
    expected = gradients(model, clips(labels))
    calls = [
        (gradients_of_rank, (rank, str(tmp_path), norm, labels, mutual))
        for rank in (0, 1)
    ]
    assert fork(*calls) == [0, 0]
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1))
    learned = ['heads.fitnets', 'heads.spectrum', 'balancer.scales.cls']
    if mutual:
        learned += [f'teachers.b.{part}' for part in ('student', 'distill.heads')]
    else:
        learned += [
            'heads.learned.edge_network',
            'heads.pairs.edge_network',
            'heads.pairs.projection',
            'heads.places.projection',
        ]
    for part in learned:
        assert any(key.startswith(f'distill.{part}') for key in expected)
    # a gradient that cancels out is compared with the others' size
    floor = 1e-2 * max(float(g.norm()) for g in expected.values())
    for name, gradient in expected.items():
        found = first['gradients'][name]
        assert torch.isfinite(found).all(), name
        assert torch.equal(found, second['gradients'][name]), name
        error = float((found - gradient).norm()) / max(float(gradient.norm()), floor)
        # rounding was 3e-5 on one CPU; a wrong mean would be orders above
        assert error < 1e-4, (name, error)
    for name, value in first['state'].items():
        assert torch.equal(value, second['state'][name]), name


def test_blended_clips_count_in_two_processes_as_in_one(tmp_path: Path) -> None:
    model = distiller('frozen', blended=True)
    expected = gradients(model, clips(BLENDED))
    calls = [
        (gradients_of_rank, (rank, str(tmp_path), 'frozen', BLENDED, False))
        for rank in (0, 1)
    ]
    assert fork(*calls) == [0, 0]
    found = torch.load(tmp_path / 'rank0.pth')['gradients']
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


def seen_through_gather(rank: int, folder: str) -> None:
    """Save gradients of a function of the global batch, averaged as DDP does."""
    join(rank, folder)
    x = parts()[rank].clone().requires_grad_()
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (gather(x * weight).std(0) ** 2).sum().backward()
    dist.all_reduce(weight.grad)
    mask = torch.tensor([rank == 0, False, False])
    rows = torch.arange(3.0) + 1
    torch.save(
        dict(
            x=x.grad,
            weight=weight.grad / RANKS,
            whole=gather(x.detach()),
            mean=clip_mean(rows, mask),
            empty=clip_mean(rows, torch.zeros(3, dtype=torch.bool)),
        ),
        f'{folder}/rank{rank}.pth',
    )


def parts() -> list[Tensor]:
    """What each rank has of a batch."""
    generator = torch.Generator().manual_seed(2)
    whole = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    return list(whole.chunk(RANKS))


def test_the_gradient_through_gather_sums_over_ranks(tmp_path: Path) -> None:
    whole = torch.cat(parts()).requires_grad_()
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    ((whole * weight).std(0) ** 2).sum().backward()
    calls = [(seen_through_gather, (rank, str(tmp_path))) for rank in (0, 1)]
    assert fork(*calls) == [0, 0]
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    for rank in ranks:
        assert torch.equal(rank['whole'], whole.detach())
        # keeping the own slice only would give half
        torch.testing.assert_close(rank['weight'], weight.grad, rtol=1e-12, atol=0)
    # each rank's loss holds the whole batch: the sum over ranks, which DDP halves
    found = torch.cat([rank['x'] for rank in ranks])
    torch.testing.assert_close(found, RANKS * whole.grad, rtol=1e-12, atol=1e-15)


def test_a_mean_over_labeled_clips_is_the_global_one_after_averaging(
    tmp_path: Path,
) -> None:
    calls = [(seen_through_gather, (rank, str(tmp_path))) for rank in (0, 1)]
    assert fork(*calls) == [0, 0]
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    assert [float(rank['mean']) for rank in ranks] == [2.0, 0.0]
    assert [float(rank['empty']) for rank in ranks] == [0.0, 0.0]


def vectors(clips: int) -> list[Tensor]:
    """Vectors of teachers and student, (N, T', E, D), of a global batch."""
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(clips, 3, 2, 5, generator=generator) for _ in range(2)]


def discrepancy_of_rank(rank: int, folder: str, clips: int) -> None:
    """Save the discrepancy of a rank's share; the body of a child process."""
    join(rank, folder)
    own_share = [x.chunk(RANKS)[rank] for x in vectors(clips)]
    head = RepresentationGraphHead(tap='a')
    torch.save(head._discrepancy_by_place(*own_share), f'{folder}/rank{rank}.pth')


# 24 vectors are few; of 84 each rank gives every second; of 78, or 39 each, all
@pytest.mark.parametrize('clips', [8, 28, 26])
def test_the_bandwidth_is_that_of_the_global_batch(clips: int, tmp_path: Path) -> None:
    whole = RepresentationGraphHead(tap='a')._discrepancy_by_place(*vectors(clips))
    calls = [(discrepancy_of_rank, (rank, str(tmp_path), clips)) for rank in (0, 1)]
    assert fork(*calls) == [0, 0]
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in (0, 1)]
    torch.testing.assert_close(torch.stack(ranks).mean(0), whole)


def train_as_rank(rank: int, port: int, config: dict[str, Any]) -> None:
    """Run a training as torchrun would; the body of a child process."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(RANKS),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    config = Config(dict(config, launcher='pytorch'))
    prepare_distributed(config)
    runner = Runner.from_cfg(config)
    runner.train()
    state = runner.model.module.state_dict()
    torch.save(state, f'{config.work_dir}/rank{rank}.pth')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_a_run_of_two_processes_skips_scores_saves_and_ends_with_equal_weights(
    tmp_path: Path,
) -> None:
    train = write_list(tmp_path, 8, broken=(3,))
    val = write_list(tmp_path, 5, 'val')
    config = run_config(str(tmp_path / 'work'), train, val, epochs=2, workers=1)
    config.model.student.backbone.norm_eval = True
    config.model.student.backbone.frozen_stages = 1
    config.log_level = 'INFO'
    port = free_port()
    calls = [(train_as_rank, (rank, port, config.to_dict())) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    work = tmp_path / 'work'
    first, second = (torch.load(work / f'rank{rank}.pth') for rank in range(RANKS))
    for name in first:
        assert torch.equal(first[name], second[name]), name
    saved = torch.load(work / 'epoch_2.pth', weights_only=True)
    assert saved['meta']['iter'] == 4
    for name, value in saved['state_dict'].items():
        assert torch.equal(value, first[name]), name
    assert len(saved['message_hub']['log_scalars']['val/acc/top1'].data[0]) >= 1
    # whichever process met the broken clip, the first one tells
    (log,) = (path for path in work.glob('*/*.log') if 'rank' not in path.name)
    assert 'clip03.mp4' in log.read_text()
    assert 'samples were replaced in this run: 1 clips' in log.read_text()
