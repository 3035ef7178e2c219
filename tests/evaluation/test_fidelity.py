"""How near students come to their teacher, by laws."""

from __future__ import annotations

import math

import pytest
import torch
from recognizer_toys import tiny_slowfast, tiny_swin
from torch import Tensor
from toys import tiny_tsm

from mmvkd.evaluation.compared import pairs
from mmvkd.evaluation.fidelity import (
    Fidelity,
    Stage,
    energy_shares,
    kernel_distance,
    kernel_shares,
    temporal_distances,
)
from mmvkd.models.losses import spectrum_energy
from mmvkd.models.recognizers import build_recognizer


def feature(*shape: int, seed: int = 0) -> Tensor:
    """What a ReLU may have left."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def wave(cycles: int, frames: int = 8) -> Tensor:
    """One clip, (1, 1, T, 1, 1), that swings about 3."""
    time = torch.arange(frames) / frames
    return (3 + (2 * math.pi * cycles * time).cos()).view(1, 1, frames, 1, 1)


def test_a_student_that_is_its_teacher_has_no_distance() -> None:
    x = feature(3, 4, 8, 2, 2)
    for values in temporal_distances(x, x).values():
        assert values.shape == (3,)
        torch.testing.assert_close(values, torch.zeros(3))


def test_the_number_and_the_order_of_channels_do_not_matter() -> None:
    x, y = feature(2, 4, 8, 3, 3), feature(2, 6, 8, 3, 3, seed=1)
    wide = torch.cat([x, x], dim=1)[:, torch.randperm(8)]
    expected = temporal_distances(x, y)
    assert min(values.min() for values in expected.values()) > 1e-3
    for name, values in temporal_distances(wide, y).items():
        torch.testing.assert_close(values, expected[name], atol=1e-5, rtol=1e-4)


def test_the_mean_over_time_stands_apart() -> None:
    x, y = feature(2, 1, 8, 2, 2), feature(2, 1, 8, 2, 2, seed=1)
    expected = temporal_distances(x, y)
    # twice the mean, the same motion: a positive activity is the feature itself
    for name, values in temporal_distances(x + 5, y).items():
        torch.testing.assert_close(values, expected[name], atol=2e-3, rtol=1e-2)
    assert (energy_shares(x + 5)[:, 0] > energy_shares(x)[:, 0]).all()
    torch.testing.assert_close(
        energy_shares(x + 5)[:, 1:], energy_shares(x)[:, 1:], atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize(('cycles', 'mean'), [(1, 9.5), (3, 9.5), (4, 10)])
def test_shares_tell_the_frequency_and_how_much_stands_still(
    cycles: int, mean: float
) -> None:
    shares = energy_shares(wave(cycles))[0]
    expected = torch.zeros(5)
    # 9 of the mean square of 3 + cos
    expected[0], expected[cycles] = 9 / mean, 1
    torch.testing.assert_close(shares, expected)


def test_a_still_clip_has_shares_without_nan() -> None:
    shares = energy_shares(torch.ones(1, 2, 4, 1, 1))
    assert shares.tolist() == [[1, 0, 0]]


def test_only_coherence_sees_a_reversal() -> None:
    x = feature(2, 4, 8, 2, 2)
    found = temporal_distances(x, x.flip(2))
    for name in ('bands', 'energy'):
        torch.testing.assert_close(found[name], torch.zeros(2), atol=1e-5, rtol=0)
    assert (found['coherence'] > 0.3).all()


def test_only_bands_are_blind_to_where_it_moves() -> None:
    x = feature(1, 2, 8, 2, 2)
    x[..., 0] *= 0.1
    found = temporal_distances(x, x.flip(4))
    assert found['bands'] < 1e-5
    assert found['energy'] > 0.1


def test_bands_are_the_distance_of_the_shares_that_are_drawn() -> None:
    x, y = wave(1) + 0.5 * wave(2), wave(1) + 2 * wave(2)
    p, q = energy_shares(x)[0, 1:], energy_shares(y)[0, 1:]
    hellinger = 1 - (p * q).sqrt().sum()
    found = temporal_distances(x, y)['bands']
    torch.testing.assert_close(found[0], hellinger, atol=1e-4, rtol=1e-2)


def test_other_sizes_are_matched_as_the_head_does() -> None:
    x, y = feature(2, 4, 4, 6, 6), feature(2, 8, 8, 3, 3, seed=1)
    pooled = torch.nn.functional.adaptive_avg_pool3d(x, (4, 3, 3))
    longer = torch.nn.functional.interpolate(pooled, (8, 3, 3), mode='trilinear')
    torch.testing.assert_close(
        temporal_distances(x, y)['energy'],
        spectrum_energy(longer, y, static_weight=0),
    )


def test_kernels_are_compared_at_the_size_that_both_have_most_of() -> None:
    generator = torch.Generator().manual_seed(0)
    own = [torch.randn(2, 3, 7, 7, generator=generator), torch.ones(4, 3, 3, 3)]
    theirs = [
        torch.randn(1, 3, 7, 7, generator=generator),
        # averaged over time
        torch.randn(5, 3, 3, 3, 3, generator=generator),
        torch.randn(64, 64, 1, 1, generator=generator),
    ]
    found = kernel_shares(own, theirs)
    assert found is not None
    mine, other = found
    # constant kernels have but a mean
    torch.testing.assert_close(mine, torch.eye(9)[0], atol=1e-6, rtol=0)
    assert other.shape == (9,) and other.sum() == pytest.approx(1)
    assert kernel_distance(mine, mine) == 0
    assert 0.1 < kernel_distance(mine, other) < math.log(2)
    assert kernel_shares(own[:1], theirs[1:]) is None


def test_the_mean_is_over_the_stages_that_have_a_measure() -> None:
    first = Stage({}, {}, {'before': dict(bands=0.2, kernels=0.5)})
    second = Stage({}, {}, {'before': dict(bands=0.4)})
    fidelity = Fidelity('t', ('before',), 1, dict(stage1=first, stage2=second))
    assert fidelity.mean()['before'] == pytest.approx(dict(bands=0.3, kernels=0.5))


def test_stages_are_paired_in_their_order_and_pathways_one_by_one() -> None:
    tsm = build_recognizer('student', tiny_tsm())
    slowfast = build_recognizer('teacher', tiny_slowfast())
    alone = pairs(tsm, slowfast)
    assert list(alone) == [f'stage{i}' for i in range(1, 5)]
    assert alone['stage4'].student == 'backbone.layer4'
    assert alone['stage4'].teacher == 'backbone.slow_path.layer4'
    both = pairs(slowfast, slowfast)
    assert len(both) == 8
    assert both['stage2 fast_path'].student == 'backbone.fast_path.layer2'
    named = pairs(tsm, slowfast, ['backbone.layer1=backbone.fast_path.layer1'])
    assert named['backbone.layer1'].teacher == 'backbone.fast_path.layer1'
    assert named['backbone.layer1'].modules[0] == ('backbone.layer1',)


def test_stages_that_are_not_known_are_to_be_named() -> None:
    tsm = build_recognizer('student', tiny_tsm())
    swin = build_recognizer('teacher', tiny_swin())
    told = r'4 of the student \(ResNetTSM\), none of the teacher .*--taps'
    with pytest.raises(ValueError, match=told):
        pairs(tsm, swin)
