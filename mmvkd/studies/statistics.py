"""Is one method better than another? From a few seeds and many test clips.

With three seeds, a test over seeds alone can hardly find anything. The test here takes
the clips as the sample: for each clip, how many seeds of one method got it right, less
how many of the other. It asks whether the difference would carry over to other clips
of the same kind, for these trained models; the spread beside it tells how much it
varies with the seed. A difference counts where it passes this test *and* exceeds the
spread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import variance

import numpy as np
from scipy import stats


def spread(values: Sequence[float]) -> float:
    """Sample standard deviation (n − 1); NaN for fewer than two values."""
    # stdev() of Python 3.11 fails on NaN
    return math.sqrt(variance(values)) if len(values) > 1 else math.nan


def sign_flip_p(differences: Sequence[int]) -> float:
    """Exact two-sided p-value of the paired sign-flip test.

    Under the hypothesis that both methods are equally good, each clip's difference
    ``d_i`` could as well have been ``−d_i``, so

        p = P(|Σ s_i d_i| ≥ |Σ d_i|),  s_i = ±1 with probability ½, independent.

    Integers make it exact: with ``n_v`` clips of ``|d| = v``, the sum is
    ``Σ_v v (n_v − 2 B_v)`` of binomial ``B_v``. With one seed (``d`` of −1, 0, 1) it is
    McNemar's exact test.

    Args:
        differences: Difference of each clip, in correct answers.

    Returns:
        The p-value; 1 where nothing differs.
    """
    counts = Counter(abs(int(d)) for d in differences if d)
    if not counts:
        return 1.0
    density = np.ones(1)  # of Σ v B_v
    for value, number in sorted(counts.items()):
        part = np.zeros(value * number + 1)
        part[::value] = stats.binom.pmf(np.arange(number + 1), number, 0.5)
        density = np.convolve(density, part)
    total = len(density) - 1
    sums = total - 2 * np.arange(total + 1)
    observed = abs(sum(int(d) for d in differences))
    return float(min(1.0, density[np.abs(sums) >= observed].sum()))


def clip_differences(
    one: Sequence[Sequence[bool]], other: Sequence[Sequence[bool]]
) -> list[int]:
    """For each clip, correct answers of ``one`` less those of ``other``.

    Args:
        one: By seed, then by clip: whether the answer is right.
        other: Likewise, for the same seeds and clips.
    """
    a, b = (np.asarray(part, dtype=int).sum(axis=0) for part in (one, other))
    return [int(d) for d in a - b]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjustment, for several methods compared with one baseline."""
    adjusted: dict[str, float] = {}
    least = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for rank, (name, p) in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - rank) * p))
        adjusted[name] = least
    return adjusted
