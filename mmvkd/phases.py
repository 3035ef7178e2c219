"""Phases of a training, by name, in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

FIELDS = ('epochs', 'train', 'heads', 'label', 'lr')


def lengths_of(phases: Mapping[str, Mapping[str, Any]], epochs: int) -> list[int]:
    """Epochs of each phase.

    Args:
        phases: Each with ``epochs``, 0 to leave it out; the last one gets the rest.
        epochs: Epochs of the run.

    Raises:
        ValueError: if they do not add up, or have an unknown field.
    """
    if not phases:
        raise ValueError('phases is empty; name one at least')
    for name, phase in phases.items():
        for field in phase:
            if field not in FIELDS:
                raise ValueError(
                    f"phase '{name}' has no field '{field}'; known: {', '.join(FIELDS)}"
                )
    *first, last = phases
    lengths: list[Any] = [phases[name].get('epochs') for name in first]
    for name, length in zip(first, lengths):
        if not isinstance(length, int) or length < 0:
            raise ValueError(
                f"phase '{name}' has epochs={length!r}, expected 0 or more"
            )
    rest = epochs - sum(lengths)
    told = phases[last].get('epochs', rest)
    if rest < 1:
        one = ' (one by iterations counts as one epoch)' if epochs == 1 else ''
        raise ValueError(
            f'the run has {epochs} epochs{one}, and the phases before the last one, '
            f"'{last}', take {sum(lengths)}: it needs {sum(lengths) + 1} at least"
        )
    if told != rest:
        raise ValueError(
            f'the run has {epochs} epochs, of which {rest} are left to the last phase, '
            f"'{last}'; it has epochs={told}"
        )
    return [*lengths, rest]


def phase_at(epoch: float, lengths: Sequence[int]) -> int:
    """Number of the phase that an epoch belongs to, both counted from 0."""
    return bisect_right(list(accumulate(lengths[:-1])), epoch)
