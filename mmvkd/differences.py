"""How two records of plain values differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ''
) -> list[str]:
    """What differs between two mappings, as ``key was …, now …``.

    Keys of mappings inside are dotted. Of two lists, the first items that differ are
    told. Long values are cut to where they begin to differ.
    """
    told = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            told += differences(before, after, f'{prefix}{key}.')
            continue
        if isinstance(before, list) and isinstance(after, list):
            pairs = [(a, b) for a, b in zip(before, after) if a != b]
            extra = [(a, None) for a in before[len(after) :]]
            extra += [(None, b) for b in after[len(before) :]]
            before, after = next(iter(pairs + extra), (None, None))
        if before != after:
            was, now = _apart(
                *('absent' if x is None else str(x) for x in (before, after))
            )
            told.append(f'{prefix}{key} was {was}, now {now}')
    return told


def _apart(old: str, new: str) -> tuple[str, str]:
    """Two texts, cut to where they begin to differ; a name before a ( is kept."""
    pairs = enumerate(zip(old, new))
    start = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
    if start < 40:
        return old[:80], new[:80]
    name = old.partition('(')[0] if '(' in old[:start] else ''
    return f'{name}…{old[start - 20 :][:60]}', f'{name}…{new[start - 20 :][:60]}'
