"""The comparison of methods."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mmvkd.studies.statistics import clip_differences, holm, sign_flip_p, spread


@pytest.mark.parametrize('seed', range(6))
def test_the_sign_flip_test_enumerates_all_flips(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-3, 4, 11)
    found = stats.permutation_test(
        (values,),
        lambda x, axis: np.sum(x, axis=axis),
        permutation_type='samples',
        n_resamples=np.inf,
    )
    assert sign_flip_p(values.tolist()) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize(('won', 'lost'), [(9, 2), (5, 5), (1, 0), (30, 14)])
def test_with_one_seed_it_is_the_exact_test_of_mcnemar(won: int, lost: int) -> None:
    differences = [1] * won + [-1] * lost + [0] * 20
    expected = stats.binomtest(won, won + lost).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected, abs=1e-12)


def test_without_a_difference_nothing_is_significant() -> None:
    assert sign_flip_p([0, 0, 0]) == 1.0
    assert sign_flip_p([]) == 1.0


def test_it_keeps_its_level_when_seeds_repeat_the_same_clips() -> None:
    # three seeds that agree on every clip are no more evidence than one
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = rng.integers(-1, 2, 40)
        assert sign_flip_p((3 * one).tolist()) == pytest.approx(
            sign_flip_p(one.tolist())
        )


def test_differences_count_seeds_clip_by_clip() -> None:
    one = [[True, True, False], [True, False, False]]
    other = [[False, True, True], [False, True, False]]
    assert clip_differences(one, other) == [2, -1, -1]


def test_holm_multiplies_the_least_most_and_never_decreases() -> None:
    adjusted = holm({'a': 0.04, 'b': 0.01, 'c': 0.03, 'd': 0.9})
    assert adjusted == pytest.approx({'b': 0.04, 'c': 0.09, 'a': 0.09, 'd': 0.9})


def test_the_spread_is_that_of_a_sample() -> None:
    values = [0.5, 0.75, 0.9]
    assert spread(values) == pytest.approx(np.std(values, ddof=1))
    assert math.isnan(spread([0.5]))
    assert math.isnan(spread([0.5, math.nan]))
