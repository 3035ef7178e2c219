"""The store of teacher outputs: what is written is read, or refused."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvkd.models.outputs import Outputs
from mmvkd.models.teachers.store import (
    Layout,
    Store,
    StoreError,
    StoreWriter,
    join_topk,
    split_topk,
)

MADE_OF = dict(teacher='t', pipeline=['a', 'b'])


def made_up(layout: Layout, seed: int = 0) -> Outputs:
    """Outputs of all entries."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(layout.entries, layout.num_classes, generator=generator)
    features = {
        tap: torch.randn(layout.entries, *shape, generator=generator)
        for tap, shape in layout.features.items()
    }
    return Outputs(logits, features)


def rows_of(outputs: Outputs, rows: range) -> Outputs:
    """A part of a batch."""
    part = slice(rows.start, rows.stop)
    return Outputs(
        outputs.logits[part], {tap: x[part] for tap, x in outputs.features.items()}
    )


def written(folder: Path, layout: Layout, outputs: Outputs, but: int = -1) -> str:
    """Write a store, all shards ``but`` one."""
    writer = StoreWriter(str(folder), layout, MADE_OF)
    for shard in writer.open_shards():
        if shard != but:
            part = rows_of(outputs, layout.shard(shard))
            writer.write(shard, layout.encode(part))
    return str(folder)


def test_features_in_another_order_are_another_store(tmp_path: Path) -> None:
    shapes = dict(early=(1,), late=(1,))
    layout = Layout(2, 1, 5, features=shapes)
    written(tmp_path / 's', layout, made_up(layout))
    turned = Layout(2, 1, 5, features=dict(reversed(shapes.items())))
    with pytest.raises(StoreError, match='of another layout'):
        StoreWriter(str(tmp_path / 's'), turned, MADE_OF)


def test_outputs_come_back_in_half_precision(tmp_path: Path) -> None:
    layout = Layout(700, 3, 5, features={'backbone.layer4': (2, 4, 1, 1)})
    outputs = made_up(layout)
    store = Store(written(tmp_path / 's', layout, outputs))
    assert store.layout == layout and store.fingerprint == MADE_OF
    clips, views = [0, 699, 13, 13], [0, 2, 1, 2]
    read = store.read(clips, views)
    rows = [view * 700 + clip for clip, view in zip(clips, views)]
    assert torch.equal(read.logits, outputs.logits[rows].half().float())
    kept = outputs.features['backbone.layer4'][rows].half().float()
    assert torch.equal(read.features['backbone.layer4'], kept)


def test_numbers_beyond_half_precision_come_back_finite(tmp_path: Path) -> None:
    outputs = made_up(layout := Layout(2, 1, 3, features={'t': (1, 1, 1, 1)}))
    outputs.logits[0, 0], outputs.features['t'][1] = 1e6, -1e6
    read = Store(written(tmp_path / 's', layout, outputs)).read([0, 1], [0, 0])
    assert read.logits[0, 0] == 65504
    assert read.features['t'][1].item() == -65504


@pytest.mark.parametrize('classes', [2, 100, 400, 700])
def test_an_entry_takes_two_bytes_a_class_and_sixteen_at_most(classes: int) -> None:
    assert Layout(1, 1, classes).dtype.itemsize <= 2 * classes + 16


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_topk_keeps_the_probabilities_of_the_k_classes(temperature: float) -> None:
    logits = 3 * torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    values, classes, rest = split_topk(logits, 5, temperature)
    back = join_topk(values, classes, rest, 50)
    full, kept = ((x / temperature).softmax(1) for x in (logits, back))
    torch.testing.assert_close(kept.gather(1, classes), full.gather(1, classes))
    # without the tail's share they would be too large
    alone = (values / temperature).softmax(1)
    assert (alone > full.gather(1, classes) * 1.005).all()


def test_topk_through_a_store(tmp_path: Path) -> None:
    layout = Layout(40, 2, 30, topk=4, temperature=4.0)
    outputs = made_up(layout)
    assert layout.dtype.itemsize == 4 * (2 + 2) + 4 + 4
    read = Store(written(tmp_path / 's', layout, outputs)).read([7], [1])
    full, kept = ((x / 4).softmax(1) for x in (outputs.logits[[47]], read.logits))
    best = full.topk(4).indices
    torch.testing.assert_close(
        kept.gather(1, best), full.gather(1, best), rtol=2e-3, atol=0
    )
    assert math.isclose(float(kept.sum()), 1, rel_tol=1e-6)


def test_topk_of_all_classes_is_refused() -> None:
    with pytest.raises(ValueError, match='topk=10, expected 1 to 9 of the 10 classes'):
        Layout(1, 1, 10, topk=10)


def test_an_unfinished_store_cannot_be_read_and_is_gone_on_with(tmp_path: Path) -> None:
    layout = Layout(600, 2, 5)
    outputs = made_up(layout)
    folder = written(tmp_path / 's', layout, outputs, but=1)
    with pytest.raises(StoreError, match='2 of 3 shards'):
        Store(folder)
    writer = StoreWriter(folder, layout, MADE_OF)
    assert writer.open_shards() == [1]
    writer.write(1, layout.encode(rows_of(outputs, layout.shard(1))))
    read = Store(folder).read(range(600), [0] * 600)
    assert torch.equal(read.logits, outputs.logits[:600].half().float())


def test_a_part_of_a_shard_is_no_shard(tmp_path: Path) -> None:
    layout = Layout(600, 1, 5)
    writer = StoreWriter(str(tmp_path), layout, MADE_OF)
    entries = layout.encode(rows_of(made_up(layout), range(10)))
    with pytest.raises(ValueError, match='shard 0 has 512 entries, got 10'):
        writer.write(0, entries)


def test_another_fingerprint_or_layout_is_not_written_over(tmp_path: Path) -> None:
    StoreWriter(str(tmp_path), Layout(4, 1, 5), MADE_OF)
    with pytest.raises(StoreError, match='pipeline was b, now c'):
        StoreWriter(
            str(tmp_path), Layout(4, 1, 5), dict(MADE_OF, pipeline=['a', 'c', 'd'])
        )
    with pytest.raises(StoreError, match='another layout'):
        StoreWriter(str(tmp_path), Layout(4, 2, 5), MADE_OF)


@pytest.mark.parametrize('place', [0, 3, 9])
def test_a_damaged_entry_is_refused(tmp_path: Path, place: int) -> None:
    layout = Layout(8, 1, 5)
    folder = written(tmp_path / 's', layout, made_up(layout))
    data = bytearray((tmp_path / 's' / 'entries.bin').read_bytes())
    data[3 * layout.dtype.itemsize + place] ^= 1
    (tmp_path / 's' / 'entries.bin').write_bytes(data)
    store = Store(folder)
    store.read([2, 4], [0, 0])
    with pytest.raises(StoreError, match='entry 3 is damaged'):
        store.read([2, 3], [0, 0])


@pytest.mark.parametrize(
    ('file', 'message'),
    [('entries.bin', r'is cut; delete it'), ('shards.bin', 'has 0 of 1 shards')],
)
def test_a_store_that_was_cut_is_refused(
    tmp_path: Path, file: str, message: str
) -> None:
    layout = Layout(8, 1, 5)
    folder = written(tmp_path / 's', layout, made_up(layout))
    os.truncate(tmp_path / 's' / file, 0)
    with pytest.raises(StoreError, match=message):
        Store(folder)


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    layout = Layout(2, 1, 5)
    folder = written(tmp_path / 's', layout, made_up(layout))
    file = tmp_path / 's' / 'store.json'
    file.write_text(file.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(StoreError, match='format 99'):
        Store(folder)


def test_reading_a_whole_store_keeps_none_of_it_in_memory(tmp_path: Path) -> None:
    layout = Layout(4096, 1, 4000)
    writer = StoreWriter(str(tmp_path), layout, MADE_OF)
    for shard in writer.open_shards():
        rows = layout.shard(shard)
        writer.write(shard, layout.encode(Outputs(torch.ones(len(rows), 4000))))
    store = Store(str(tmp_path))
    store.read([0], [0])
    before = resident()
    for start in range(0, 4096, 16):
        store.read(range(start, start + 16), [0] * 16)
    # 33 MB were read
    assert resident() - before < 8e6


def resident() -> float:
    """Bytes of this process in memory."""
    file = Path('/proc/self/statm')
    if not file.exists():
        pytest.skip('needs /proc')
    return float(file.read_text().split()[1]) * 4096


def test_class_numbers_fit_however_many_there_are() -> None:
    assert Layout(1, 1, 2**16, topk=2).dtype['classes'].base == np.dtype('<u2')
    assert Layout(1, 1, 2**17, topk=2).dtype['classes'].base == np.dtype('<u4')
