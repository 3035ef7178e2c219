"""PseudoLabelHook: in real runs, killed ones and those of two processes included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.runner import Runner
from runs import die, fork, run_config, tiny_student, train
from test_distributed import RANKS, free_port, join
from test_resume import Run, assert_equal
from torch import Tensor
from toys import tiny_tsm
from videos import write_list

from mmvkd.engine.distributed import prepare_distributed
from mmvkd.engine.hooks import PseudoLabelHook
from mmvkd.models.label_bank import LabelBank
from mmvkd.models.outputs import Outputs
from mmvkd.refined_labels import LABELS

CUSTOM = [
    dict(type='mmvkd.SeedingHook'),
    dict(type='mmvkd.CheckpointGuardHook'),
    dict(type='mmvkd.ExactResumeHook'),
]
WEAK: dict[str, Any] = dict(
    train_dataloader=dict(
        dataset=dict(type='mmvkd.WeakLabels', noise=0.4, labeled=0.7)
    ),
    # random teachers are never confident
    custom_hooks=[*CUSTOM, dict(type='mmvkd.PseudoLabelHook', threshold=0.0)],
)


@pytest.fixture(scope='module')
def lists(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Lists of 12 training clips and 4 for validation."""
    folder = tmp_path_factory.mktemp('clips')
    return write_list(folder, 12), write_list(folder, 4, 'val')


@pytest.fixture(scope='module')
def uninterrupted(
    lists: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run that nothing disturbs."""
    run = Run(tmp_path_factory.mktemp('uninterrupted'), *lists)
    assert run.go(changes=WEAK) == 0
    return run


def test_labels_come_and_move_at_the_ends_of_epochs(uninterrupted: Run) -> None:
    labels = uninterrupted.last()[LABELS]
    history = labels['history']
    assert [entry['epoch'] for entry in history] == [0, 1, 2, 3]
    # 2 of 3 clips of each class are labeled; the others get the teacher's
    assert [entry['labeled'] for entry in history] == [8, 12, 12, 12]
    assert [entry['moved'] for entry in history] == [0, 4, 12, 12]
    assert (
        history[0]['accuracy'] == history[1]['accuracy']
        or (labels['given'] == -1).any()
    )
    assert (labels['given'] >= 0).sum() == 8
    assert labels['known'].all()
    torch.testing.assert_close(labels['soft'].sum(1), torch.ones(12))
    assert Path(labels['lines'][3]).name == 'clip03.mp4'


def train_killed_in_update(config: dict[str, Any], epoch: int) -> None:
    """Train, and die with half of the labels moved; the body of a child process."""
    agreed, updates = LabelBank._agreed, []

    def dies(bank: LabelBank) -> Iterator[tuple[slice, Tensor, Tensor]]:
        updates.append(bank)
        for part, rows, seen in agreed(bank):
            if len(updates) == epoch:
                bank.soft[:6] = rows[:6]
                die()
            yield part, rows, seen

    LabelBank._agreed = dies
    train(config)


@pytest.mark.parametrize(
    'kill',
    [
        pytest.param(('train', 1, 2), id='in the warm-up'),
        pytest.param(('train', 3, 1), id='in an epoch'),
        pytest.param(('update', 2), id='in an update'),
        pytest.param(('write', 'epoch_2.pth', 1), id='writing a checkpoint'),
        pytest.param(('val', 2, 1), id='in validation'),
    ],
)
def test_a_run_killed_anywhere_ends_with_the_same_weights_and_labels(
    uninterrupted: Run, tmp_path: Path, kill: tuple
) -> None:
    run = replace(uninterrupted, folder=tmp_path / 'work')
    if kill[0] == 'update':
        config = run_config(str(run.folder), run.train, run.val, **WEAK)
        assert fork((train_killed_in_update, (config.to_dict(), kill[1]))) == [-9]
        assert run.last()['meta']['epoch'] == kill[1] - 1
    else:
        assert run.go(kill, changes=WEAK) == -9
    assert run.go(resume=True, workers=2, changes=WEAK) == 0
    assert_equal(run, uninterrupted)


def still(work_dir: str, lists: tuple[str, str], **changes: Any) -> Config:
    """Config of a run without dropout, with frozen BatchNorm: ranks do not matter."""
    config = run_config(work_dir, *lists, epochs=3, **WEAK)
    config.model.student.backbone.norm_eval = True
    config.model.student.cls_head.dropout_ratio = 0.0
    # a small rate, for steps let differences of rounding grow
    config.optim_wrapper.optimizer.lr = 0.002
    config.merge_from_dict(changes)
    return config


def bank_of(config: dict[str, Any]) -> dict[str, Any]:
    """Train; gives the labels."""
    runner = Runner.from_cfg(Config(config))
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    return dict(hook.bank.state(), history=hook._told['history'])


def bank_alone(config: dict[str, Any], out: str) -> None:
    """Save the labels of a run; the body of a child process."""
    torch.save(bank_of(config), out)


def bank_of_rank(rank: int, port: int, config: dict[str, Any], out: str) -> None:
    """The same as one of two processes."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(RANKS),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    config = Config(dict(config, launcher='pytorch'))
    prepare_distributed(config)
    bank_alone(config.to_dict(), f'{out}{rank}.pth')


def test_two_processes_have_the_bank_of_one(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    alone = still(str(tmp_path / 'one'), lists, train_dataloader=dict(batch_size=4))
    both = still(str(tmp_path / 'two'), lists)
    port, out = free_port(), str(tmp_path / 'rank')
    assert fork((bank_alone, (alone.to_dict(), str(tmp_path / 'one.pth')))) == [0]
    calls = [(bank_of_rank, (rank, port, both.to_dict(), out)) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    expected = torch.load(tmp_path / 'one.pth')
    first, second = (torch.load(f'{out}{rank}.pth') for rank in range(RANKS))
    for key in ('soft', 'known', 'given'):
        assert torch.equal(first[key], second[key]), key
    assert first['history'] == second['history'] == expected['history']
    torch.testing.assert_close(first['soft'], expected['soft'], rtol=1e-4, atol=1e-5)
    saved = torch.load(tmp_path / 'two' / 'epoch_3.pth', weights_only=True)
    assert torch.equal(saved[LABELS]['soft'], first['soft'])


def agreed_of_rank(rank: int, folder: str) -> None:
    """Note a rank's share of a padded epoch, and update."""
    join(rank, folder)
    torch.save(padded_epoch(rank, RANKS), f'{folder}/rank{rank}.pth')
    dist.barrier()


def padded_epoch(rank: int, world: int) -> Tensor:
    """The bank after an epoch whose 7 clips were padded to 8, and one seen twice."""
    bank = LabelBank(torch.tensor([0, 1, 2, -1, 0, 1, 2]), 3, ['t'], threshold=0)
    rows = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
    order = [4, 2, 6, 0, 2, 5, 1, 4]
    own = list(range(rank, 8, world))
    for places in (own[:2], own[2:]):
        samples = [ActionDataSample(metainfo=dict(sample_id=order[p])) for p in places]
        seen = Outputs(rows[places])
        bank.observe(samples, seen, dict(t=seen))
    bank.update()
    return bank.soft


def test_padded_duplicates_count_once_on_all_ranks_alike(tmp_path: Path) -> None:
    calls = [(agreed_of_rank, (rank, str(tmp_path))) for rank in range(RANKS)]
    assert fork(*calls) == [0, 0]
    expected = padded_epoch(0, 1)
    for rank in range(RANKS):
        assert torch.equal(torch.load(tmp_path / f'rank{rank}.pth'), expected)


def first_error(config: Config) -> Exception:
    """What training ends in."""
    with pytest.raises(Exception) as caught:
        Runner.from_cfg(config).train()
    return caught.value


def other_teacher(classes: int) -> dict[str, Any]:
    return dict(
        type='mmvkd.RecognizerTeacher',
        model=tiny_tsm(num_classes=classes),
        checkpoint='random',
    )


BLENDING = dict(type='MixupBlending', num_classes=4)
BINARY = dict(type='BCELossWithLogits')
FEATURES = dict(
    _delete_=True,
    fitnets=dict(
        type='mmvkd.FitNetsHead', tap='backbone.layer2', teacher_tap='backbone.layer3'
    ),
)


@pytest.mark.parametrize(
    ('model', 'hook', 'message'),
    [
        pytest.param(
            dict(student=dict(data_preprocessor=dict(blending=BLENDING))),
            {},
            'MixupBlending blends clips',
            id='blending',
        ),
        pytest.param(
            dict(student=dict(cls_head=dict(loss_cls=BINARY)), heads=FEATURES),
            {},
            r'is multi-label \(multi_class=True, or a binary loss\)',
            id='a binary loss',
        ),
        pytest.param(
            {},
            dict(teachers=['tsn']),
            "names teacher 'tsn'; the config has tsm",
            id='a teacher that is not there',
        ),
        pytest.param(
            dict(teachers=dict(tsm=other_teacher(5)), heads=FEATURES),
            {},
            "teacher 'tsm' has 5 classes, the student 4",
            id='a teacher of other classes',
        ),
        pytest.param(
            {},
            dict(teachers=[]),
            r'without a label \(-1\) that of the teachers, and there is none',
            id='nobody to label',
        ),
    ],
)
def test_what_cannot_have_soft_labels_is_refused_before_the_first_step(
    tmp_path: Path,
    lists: tuple[str, str],
    model: dict[str, Any],
    hook: dict[str, Any],
    message: str,
) -> None:
    hooks = [*CUSTOM, dict(type='mmvkd.PseudoLabelHook', **hook)]
    config = run_config(str(tmp_path), *lists, **WEAK)
    config.merge_from_dict(dict(model=model, custom_hooks=hooks))
    error = first_error(config)
    assert isinstance(error, ValueError)
    assert error.args and '\n' not in str(error)
    assert pytest.raises(ValueError, match=message).matches(error)


def test_a_plain_recognizer_is_refused(tmp_path: Path, lists: tuple[str, str]) -> None:
    config = run_config(str(tmp_path), *lists, custom_hooks=WEAK['custom_hooks'])
    config.model = tiny_student()
    assert 'is for a mmvkd.VideoDistiller, got Recog' in str(first_error(config))


def test_a_run_by_iterations_is_refused(tmp_path: Path, lists: tuple[str, str]) -> None:
    config = run_config(str(tmp_path), *lists, custom_hooks=WEAK['custom_hooks'])
    config.train_cfg = dict(by_epoch=False, max_iters=4)
    config.default_hooks.checkpoint = None
    assert 'IterBasedTrainLoop has none: train by epochs' in str(first_error(config))


def test_a_data_set_without_sample_ids_is_refused(
    tmp_path: Path, lists: tuple[str, str]
) -> None:
    config = run_config(str(tmp_path), *lists, custom_hooks=WEAK['custom_hooks'])
    config.train_dataloader.dataset = config.train_dataloader.dataset.dataset
    config.train_dataloader.sampler = dict(type='DefaultSampler')
    assert 'wrap it in mmvkd.SeededDataset' in str(first_error(config))


def continued(run: Run, work_dir: Path, checkpoint: str, **changes: Any) -> Config:
    """Config of a run that starts from a checkpoint of another."""
    config = run_config(str(work_dir), run.train, run.val, **WEAK)
    config.merge_from_dict(dict(load_from=checkpoint, **changes))
    return config


def test_a_run_that_had_no_labels_cannot_go_on_with_them(
    uninterrupted: Run, tmp_path: Path
) -> None:
    checkpoint = uninterrupted.last()
    del checkpoint[LABELS]
    path = str(tmp_path / 'without.pth')
    torch.save(checkpoint, path)
    config = continued(uninterrupted, tmp_path, path, resume=True)
    assert 'written without PseudoLabelHook' in str(first_error(config))


def test_other_given_labels_are_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    path = str(uninterrupted.folder / 'epoch_3.pth')
    data = dict(train_dataloader=dict(dataset=dict(label_seed=1)))
    config = continued(uninterrupted, tmp_path, path, resume=True, **data)
    assert 'their given labels differ' in str(first_error(config))


def test_another_order_of_the_clips_is_refused_when_resuming(
    uninterrupted: Run, tmp_path: Path
) -> None:
    lines = Path(uninterrupted.train).read_text().splitlines(keepends=True)
    other = tmp_path / 'other.txt'
    other.write_text(''.join(reversed(lines)))
    data = dict(train_dataloader=dict(dataset=dict(dataset=dict(ann_file=str(other)))))
    path = str(uninterrupted.folder / 'epoch_3.pth')
    config = continued(uninterrupted, tmp_path, path, resume=True, **data)
    assert 'in another order' in str(first_error(config))


def test_a_warm_start_begins_with_the_given_labels(
    uninterrupted: Run, tmp_path: Path
) -> None:
    path = str(uninterrupted.folder / 'epoch_3.pth')
    config = continued(uninterrupted, tmp_path, path, train_cfg=dict(max_epochs=1))
    found = bank_of(config.to_dict())
    assert [entry['epoch'] for entry in found['history']] == [0, 1]
    labeled = found['given'] >= 0
    assert torch.equal(found['soft'][labeled].argmax(1), found['given'][labeled])
    assert found['soft'][labeled].amax(1).eq(1).all()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(warmup=-1), 'warmup must be 0 or more, got -1'),
        (dict(momentum=1.5), r'momentum is a share between 0 and 1, got 1\.5'),
        (dict(teacher_weight=-0.1), 'teacher_weight is a share between 0 and 1'),
        (dict(threshold=2), 'threshold is a share between 0 and 1, got 2'),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PseudoLabelHook(**settings)
