"""How two records of plain values differ, in words."""

from __future__ import annotations

import pytest

from mmvkd.differences import differences


def test_what_differs_is_named() -> None:
    record = dict(a='t', items=['a', 'b'], inner=dict(size=32))
    assert differences(record, record) == []
    changed = dict(a='u', items=['a', 'b', 'c'], inner=dict(size=64))
    assert differences(record, changed) == [
        'a was t, now u',
        'items was absent, now c',
        'inner.size was 32, now 64',
    ]


@pytest.mark.parametrize(('name', 'told'), [('', '…'), ('Resize(', 'Resize…')])
def test_long_values_are_cut_to_where_they_differ(name: str, told: str) -> None:
    old, new = (f'{name}{"x" * 100}{end}' for end in ('yes', 'no'))
    (line,) = differences(dict(a=old), dict(a=new))
    assert line == f'a was {told}{"x" * 20}yes, now {told}{"x" * 20}no'
