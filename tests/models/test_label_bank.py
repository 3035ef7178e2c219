"""LabelBank: soft labels that predictions refine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor, nn
from toys import CLASSES, batch, tiny_tsm

from mmvkd.datasets.weak_labels import add_noise, take_away
from mmvkd.models import VideoDistiller
from mmvkd.models.label_bank import LabelBank
from mmvkd.models.outputs import Outputs

SWAP = {0: 1, 1: 0}


def sample(
    index: int, label: int = 0, label_map: Optional[Mapping[int, int]] = None
) -> ActionDataSample:
    """A loaded sample, as the data set gives it."""
    info: dict[str, Any] = dict(sample_id=index)
    if label_map:
        info['label_map'] = dict(label_map)
    return ActionDataSample(metainfo=info).set_gt_label(label)


def outputs(*probabilities: list[float]) -> Outputs:
    """What a model of these probabilities gives."""
    return Outputs(torch.tensor(probabilities, dtype=torch.float64).log())


def noted(
    bank: LabelBank, ids: list[int], student: Outputs, teacher: Outputs, **maps: Any
) -> None:
    """Show the bank a batch."""
    bank.observe([sample(i, **maps) for i in ids], student, dict(t=teacher))


def test_a_clip_gets_no_label_of_a_teacher_that_overflowed() -> None:
    bank = LabelBank(torch.tensor([0, -1]), 3, ['t'])
    even = Outputs(torch.zeros(2, 3))
    noted(bank, [0, 1], even, Outputs(torch.tensor([[0, 0, 0], [torch.inf, 0, 0]])))
    bank.update()
    assert bank.known.tolist() == [True, False]
    bank.forget()
    noted(bank, [0, 1], even, even)
    bank.update()
    assert bank.known.tolist() == [True, True]
    assert bank.soft.isfinite().all()


def test_a_label_moves_as_the_equation_says() -> None:
    given = torch.tensor([0, 1, 2])
    bank = LabelBank(given, 3, ['t'], momentum=0.7, teacher_weight=0.25, threshold=0)
    generator = torch.Generator().manual_seed(0)
    expected = np.eye(3)[given]
    for _ in range(2):
        student, teacher = (
            torch.rand(3, 3, generator=generator).softmax(1) for _ in range(2)
        )
        noted(bank, [2, 0, 1], *(Outputs(p.log()) for p in (student, teacher)))
        assert bank.update() == 3
        for row, clip in enumerate([2, 0, 1]):
            mean = 0.25 * teacher[row] + 0.75 * student[row]
            expected[clip] = 0.7 * expected[clip] + 0.3 * mean.numpy()
    assert bank.soft.dtype == torch.float32
    torch.testing.assert_close(bank.soft.numpy(), expected.astype('f'))
    torch.testing.assert_close(bank.soft.sum(1), torch.ones(3))


def test_only_a_confident_prediction_moves_a_label() -> None:
    bank = LabelBank(torch.tensor([0, 0]), 3, ['t'], momentum=0.7, threshold=0.5)
    sure, unsure = [0.1, 0.6, 0.3], [0.3, 0.4, 0.3]
    noted(bank, [0, 1], outputs(sure, unsure), outputs(sure, unsure))
    assert bank.update() == 1
    torch.testing.assert_close(bank.soft[0], torch.tensor([0.73, 0.18, 0.09]))
    assert bank.soft[1].tolist() == [1, 0, 0]


def test_the_mean_of_teachers_and_student_must_be_confident() -> None:
    bank = LabelBank(torch.tensor([0]), 2, ['t'], teacher_weight=0.5, threshold=0.6)
    noted(bank, [0], outputs([0.99, 0.01]), outputs([0.01, 0.99]))
    assert bank.update() == 0


def test_a_clip_without_a_label_gets_the_teachers_mean_in_the_warm_up() -> None:
    bank = LabelBank(torch.tensor([-1, 1, -1]), 3, ['a', 'b'], threshold=0.9)
    first, second = [0.2, 0.5, 0.3], [0.4, 0.3, 0.3]
    bank.observe(
        [sample(0), sample(1)],
        outputs([0.9, 0.05, 0.05], [0.9, 0.05, 0.05]),
        dict(a=outputs(first, first), b=outputs(second, second), c=outputs([1, 0, 0])),
    )
    assert bank.update(refine=False) == 1
    torch.testing.assert_close(bank.soft[0], torch.tensor([0.3, 0.4, 0.3]))
    assert bank.known.tolist() == [True, True, False]
    assert bank.soft[1].tolist() == [0, 1, 0]


def test_a_clip_that_is_not_seen_stays() -> None:
    bank = LabelBank(torch.tensor([0, 1]), 2, ['t'], threshold=0)
    assert bank.update() == 0
    noted(bank, [1], outputs([0.9, 0.1]), outputs([0.9, 0.1]))
    assert bank.update() == 1
    assert bank.soft[0].tolist() == [1, 0]
    # what moved it is gone
    assert bank.update() == 0


def test_of_several_places_of_a_clip_the_first_counts() -> None:
    bank = LabelBank(torch.tensor([0, 0]), 2, ['t'], momentum=0, threshold=0)
    rows = [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]
    noted(bank, [1, 0, 1], outputs(*rows), outputs(*rows))
    noted(bank, [0], outputs([0.0, 1.0]), outputs([0.0, 1.0]))
    bank.update()
    torch.testing.assert_close(bank.soft, torch.tensor([[0.2, 0.8], [0.9, 0.1]]))


def test_labels_and_predictions_follow_an_exchange_of_classes() -> None:
    bank = LabelBank(torch.tensor([0, 0]), 3, ['t'], momentum=0.5, threshold=0)
    mirrored = sample(0, label=1, label_map=SWAP)
    targets = bank.targets([mirrored, sample(1)])
    assert targets.labels.tolist() == [1, 0]
    assert targets.soft.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert mirrored.gt_label.tolist() == [0, 1, 0]
    # mirrored, the clip looks like class 0: upright it would like class 1
    rows = outputs([0.8, 0.1, 0.1])
    noted(bank, [0], rows, rows, label_map=SWAP)
    bank.update()
    torch.testing.assert_close(bank.soft[0], torch.tensor([0.55, 0.4, 0.05]))


def test_three_classes_in_a_ring_come_back_as_they_went() -> None:
    ring = {0: 1, 1: 2, 2: 0}
    bank = LabelBank(torch.tensor([0, 1, 2]), 3, ['t'], momentum=0, threshold=0)
    clips = [sample(i, label_map=ring) for i in range(3)]
    shown = bank.targets(clips)
    assert shown.labels.tolist() == [1, 2, 0]
    rows = Outputs(shown.soft.clamp_min(1e-6).log())
    noted(bank, [0, 1, 2], rows, rows, label_map=ring)
    bank.update()
    assert bank.soft.argmax(1).tolist() == [0, 1, 2]


def test_a_label_map_that_cannot_be_undone_is_refused() -> None:
    bank = LabelBank(torch.tensor([0]), 3)
    with pytest.raises(ValueError, match=r'\{0: 1\} gives two classes one label'):
        bank.targets([sample(0, label_map={0: 1})])


def test_targets_tell_the_modes_and_which_clips_have_a_label() -> None:
    bank = LabelBank(torch.tensor([-1, 2, 0]), 3, ['t'], momentum=0, threshold=0)
    clips = [sample(0, -1), sample(1, 2)]
    targets = bank.targets(clips)
    assert targets.labels.tolist() == [-1, 2]
    assert targets.labeled == [1] and not targets.complete
    assert targets.soft.tolist() == [[0, 0, 0], [0, 0, 1]]
    assert clips[0].gt_label.tolist() == [-1]
    noted(bank, [0, 1], *[outputs([0.2, 0.7, 0.1], [0.1, 0.3, 0.6])] * 2)
    bank.update()
    targets = bank.targets([sample(0, -1), sample(1, 2)]).to(torch.device('cpu'))
    assert targets.labels.tolist() == [1, 2]
    assert targets.labeled is None and targets.complete
    torch.testing.assert_close(targets.soft[1], torch.tensor([0.1, 0.3, 0.6]))


def test_a_bank_goes_on_from_its_state_and_refuses_that_of_another_list() -> None:
    bank = LabelBank(torch.tensor([-1, 1]), 2, ['t'], threshold=0)
    noted(bank, [0, 1], *[outputs([0.2, 0.8], [0.3, 0.7])] * 2)
    bank.update()
    other = LabelBank(torch.tensor([-1, 1]), 2, ['t'], threshold=0)
    other.restore(bank.state())
    assert torch.equal(other.soft, bank.soft) and torch.equal(other.known, bank.known)
    for given, classes in (([1, 1], 2), ([-1, 1, 0], 2), ([-1, 1], 3)):
        with pytest.raises(RuntimeError, match='labels of 2 clips'):
            LabelBank(torch.tensor(given), classes).restore(bank.state())


def problem(clips: int = 400) -> tuple[Tensor, np.ndarray]:
    """Four classes that a line between each two tells apart nearly always."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(clips) % 4
    centers = torch.tensor([[2.0, 2.0], [-2.0, 2.0], [-2.0, -2.0], [2.0, -2.0]])
    noise = torch.randn(clips, 2, generator=generator)
    return centers[classes] + noise, classes.numpy()


def learn(bank: LabelBank, points: Tensor, teacher: nn.Module, epochs: int) -> Tensor:
    """Train a linear classifier on the bank's labels; gives each epoch's labeled."""
    torch.manual_seed(0)
    student = nn.Linear(2, 4)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.2)
    counts = []
    for epoch in range(epochs):
        labeled = 0
        for ids in torch.randperm(len(points)).split(20):
            clips = [sample(int(i), -1) for i in ids]
            targets = bank.targets(clips)
            labeled += int((targets.labels >= 0).sum())
            logits = student(points[ids])
            bank.observe(clips, Outputs(logits), dict(t=Outputs(teacher(points[ids]))))
            loss = -(targets.soft * logits.log_softmax(1)).sum() / 20
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        bank.update(refine=epoch >= 1)
        counts.append(labeled)
    return torch.tensor(counts)


def weak_teacher() -> nn.Module:
    """Right more often than not: it sees the classes turned by 30 degrees."""
    teacher = nn.Linear(2, 4, bias=False)
    angles = torch.tensor([45.0, 135.0, 225.0, 315.0]) + 30
    rows = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], 1)
    teacher.weight.data = rows
    return teacher


def share_right(bank: LabelBank, classes: np.ndarray) -> float:
    return float((bank.soft.argmax(1).numpy() == classes)[bank.known].mean())


@pytest.mark.parametrize('teachers', [['t'], []], ids=['taught', 'alone'])
def test_under_noise_refined_labels_are_right_more_often_than_the_given_ones(
    teachers: list[str],
) -> None:
    points, classes = problem()
    given = add_noise(classes, 0.4, 4)
    # whoever learns such labels is sure of few clips
    bank = LabelBank(torch.from_numpy(given), 4, teachers, threshold=0.4)
    assert share_right(bank, classes) == pytest.approx(0.6)
    learn(bank, points, weak_teacher(), epochs=6)
    assert share_right(bank, classes) > 0.75


def test_unlabeled_clips_stay_out_of_the_first_epoch_and_then_have_labels() -> None:
    points, classes = problem()
    given = take_away(classes, classes, 0.1)
    bank = LabelBank(torch.from_numpy(given), 4, ['t'])
    counts = learn(bank, points, weak_teacher(), epochs=6)
    assert counts.tolist() == [40, 400, 400, 400, 400, 400]
    assert share_right(bank, classes) > 0.8


def distiller(*labels: int, **heads: Any) -> tuple[VideoDistiller, dict[str, Any]]:
    """A distiller without dropout, and a batch with these labels."""
    student = tiny_tsm()
    student['cls_head']['dropout_ratio'] = 0.0
    teacher = dict(
        type='mmvkd.RecognizerTeacher', model=tiny_tsm(), checkpoint='random'
    )
    torch.manual_seed(0)
    config = dict(student=student, teachers=dict(t=teacher), heads=heads)
    model = MODELS.build(dict(config, type='mmvkd.VideoDistiller'))
    model.load_teachers()
    data = batch(len(labels))
    data['data_samples'] = [sample(i, label) for i, label in enumerate(labels)]
    return model.train(), data


def entries(model: VideoDistiller, data: dict[str, Any]) -> dict[str, Tensor]:
    return model(**model.data_preprocessor(data, training=True), mode='loss')


@pytest.mark.parametrize('labels', [(1, 2, 0), (1, -1, 0), (-1, -1, 3), (-1, -1, -1)])
def test_before_any_label_moves_the_objective_is_that_of_the_given_labels(
    labels: tuple[int, ...],
) -> None:
    heads = dict(
        dkd=dict(type='mmvkd.DKDHead'),
        graph=dict(type='mmvkd.LogitsGraphHead', edges='confidence', cost='binary'),
    )
    model, data = distiller(*labels, **heads)
    expected = entries(model, data)
    model.learn_from(LabelBank(torch.tensor(labels), CLASSES, ['t']))
    found = entries(model, data)
    for key in expected:
        # the hits are not counted for soft labels
        if 'acc' not in key:
            torch.testing.assert_close(found[key], expected[key])


@pytest.mark.parametrize('clips', [1, 2])
def test_the_students_head_learns_the_refined_label(clips: int) -> None:
    model, data = distiller(*[0] * clips)
    bank = LabelBank(torch.zeros(clips, dtype=torch.long), CLASSES, momentum=0)
    bank.threshold = 0
    label = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).repeat(clips, 1)
    bank.soft = label.clone()
    model.learn_from(bank)
    loss = entries(model, data)['loss_cls']
    # without a teacher, and keeping nothing, labels become the student's predictions
    bank.update()
    torch.testing.assert_close(loss, -(label * bank.soft.log()).sum(1).mean())


def test_what_the_bank_notes_is_what_training_predicts() -> None:
    model, data = distiller(0, 1, kd=dict(type='mmvkd.KDHead'))
    bank = LabelBank(
        torch.tensor([0, 1]), CLASSES, ['t'], momentum=0, teacher_weight=1, threshold=0
    )
    model.learn_from(bank)
    entries(model, data)
    bank.update()
    # a fresh student of the same weights has BatchNorm statistics of this batch too
    teacher = model.teachers['t'].model
    inputs = torch.stack(data['inputs']).float()
    mean, std = (
        torch.tensor(tiny_tsm()['data_preprocessor'][key])[:, None, None]
        for key in ('mean', 'std')
    )
    scores = teacher(((inputs - mean) / std), mode='tensor', stage='head')
    torch.testing.assert_close(bank.soft, scores.softmax(1), rtol=1e-4, atol=1e-5)
