"""Motions: classes differ by motion alone, files hold what was rendered."""

from __future__ import annotations

import colorsys
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmaction.datasets.transforms import Flip

from mmvkd.datasets.motions import (
    CLASSES,
    FLIP_LABEL_MAP,
    REVERSAL_PAIRS,
    SPLITS,
    Difficulty,
    Trajectory,
    clip_label,
    pictures,
    render_clip,
    target_trajectory,
    write_motions,
)

BARE = Difficulty(distractors=0, noise=0, background_motion=0, camera_jitter=0)
SMALL = dict(size=32, num_frames=8)


def label(name: str) -> int:
    return CLASSES.index(name)


def displacement(clip: np.ndarray) -> tuple[float, float]:
    """Measure, in pixels, how far the moving part of a clip travels on the torus."""
    still = np.median(clip, axis=0)
    mass = np.abs(clip - still).sum(axis=3)  # (T, H, W)
    turns = np.exp(2j * np.pi * np.arange(clip.shape[2]) / clip.shape[2])
    along_x = (mass.sum(axis=1) * turns).sum(axis=1)
    along_y = (mass.sum(axis=2) * turns).sum(axis=1)
    moved = [
        np.angle(z[1:] / z[:-1]).sum() * clip.shape[2] / (2 * np.pi)
        for z in (along_x, along_y)
    ]
    return moved[0], moved[1]


def decode(path: Path) -> np.ndarray:
    decord = pytest.importorskip('decord')
    reader = decord.VideoReader(str(path), num_threads=1)
    return reader.get_batch(range(len(reader))).asnumpy()


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'motions'
    counts = {'train': 28, 'val': 14, 'test': 15}
    return write_motions(root, counts, size=64, num_frames=12, seed=3, progress=False)


def test_fourteen_classes_make_seven_disjoint_reversal_pairs() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 14
    assert [name for pair in REVERSAL_PAIRS for name in pair] == list(CLASSES)


def test_a_clip_is_a_pure_function_of_seed_split_and_index() -> None:
    clip = render_clip(0, 'train', 5, 1, **SMALL)
    render_clip(3, 'val', 6, 2, **SMALL)
    assert clip.shape == (8, 32, 32, 3) and clip.dtype == np.uint8
    assert np.array_equal(clip, render_clip(0, 'train', 5, 1, **SMALL))
    for other in (('train', 5, 2), ('train', 6, 1), ('val', 5, 1)):
        assert not np.array_equal(clip, render_clip(0, *other, **SMALL))


@pytest.mark.parametrize('pair', REVERSAL_PAIRS, ids='-'.join)
def test_a_clip_of_the_partner_class_is_the_same_clip_backwards(
    pair: tuple[str, str],
) -> None:
    first, second = (
        render_clip(label(name), 'val', 4, **SMALL, difficulty=Difficulty())
        for name in pair
    )
    assert np.array_equal(first[::-1], second)
    assert not np.array_equal(first, second)


def test_every_class_can_start_from_the_very_same_frame() -> None:
    first = [render_clip(label(a), 'test', 9, **SMALL)[0] for a, _ in REVERSAL_PAIRS]
    for frame in first[1:]:
        assert np.array_equal(first[0], frame)


def test_the_target_state_is_uniform_at_each_time_in_each_class() -> None:
    low, high = Difficulty().target_size
    for k in range(len(CLASSES)):
        paths = [target_trajectory(k, 'train', i, num_frames=3) for i in range(400)]
        for t in range(3):
            values = (
                [p.x[t] % 1 for p in paths],
                [p.y[t] % 1 for p in paths],
                [p.angle[t] / (2 * np.pi) % 1 for p in paths],
                [np.log(p.diameter[t] / low) / np.log(high / low) for p in paths],
            )
            for sample in values:
                # Kolmogorov-Smirnov distance to the uniform law; 1.95 / sqrt(n) is
                # passed by chance in 1 of 1000, and the draws here are fixed.
                steps = np.arange(1, 401) / 400
                assert np.abs(np.sort(sample) - steps).max() < 2.2 / 20


def test_the_order_of_events_is_what_tells_the_last_pair_apart() -> None:
    path = target_trajectory(label('horizontal_then_vertical'), 'train', 0)
    dx, dy = np.abs(np.diff(path.x)), np.abs(np.diff(path.y))
    assert dx[:10].min() > 0 and dy[:10].max() == 0
    assert dy[-10:].min() > 0 and dx[-10:].max() == 0


def test_every_class_moves_visibly_and_only_its_own_way() -> None:
    for k, name in enumerate(CLASSES):
        path = target_trajectory(k, 'train', 2)
        travel = np.hypot(np.diff(path.x), np.diff(path.y)).sum()
        turn = abs(path.angle[-1] - path.angle[0]) / (2 * np.pi)
        sizes = len(set(np.round(path.diameter, 9)))
        assert (travel > 0.5) == ('move' in name or 'then' in name), name
        assert (turn > 0.5) == ('rotate' in name), name
        assert (sizes > 1) == (name in ('grow', 'shrink')), name


@pytest.mark.parametrize(
    ('name', 'direction'),
    [
        ('move_left', (-1, 0)),
        ('move_right', (1, 0)),
        ('move_up', (0, -1)),
        ('move_down', (0, 1)),
        ('move_up_left', (-1, -1)),
        ('move_up_right', (1, -1)),
        ('move_down_left', (-1, 1)),
        ('move_down_right', (1, 1)),
    ],
)
def test_pixels_move_where_the_name_says_and_flips_follow_the_label_map(
    name: str, direction: tuple[int, int]
) -> None:
    clip = render_clip(label(name), 'train', 1, size=64, difficulty=BARE)
    flipped_name = CLASSES[FLIP_LABEL_MAP.get(label(name), label(name))]
    flipped_sign = ('right' in flipped_name) - ('left' in flipped_name)
    for frames, sign_x in ((clip, direction[0]), (clip[:, :, ::-1], flipped_sign)):
        moved = displacement(frames)
        for pixels, sign in zip(moved, (sign_x, direction[1])):
            if sign:
                assert pixels * sign > 0.4 * 64
            else:
                assert abs(pixels) < 0.1 * 64


def test_a_flipped_rotation_turns_the_other_way() -> None:
    # The pale half points along the angle: follow it from the center of the target.
    def turns(clip: np.ndarray, path: Trajectory, flip: bool) -> float:
        size = clip.shape[1]
        pale = clip.min(axis=3).astype(float)
        pale = np.where(pale > 160, pale, 0)
        grid = (np.arange(size) + 0.5) / size
        cx = 1 - path.x[0] if flip else path.x[0]
        dx, dy = (grid - cx + 0.5) % 1 - 0.5, (grid - path.y[0] + 0.5) % 1 - 0.5
        z = (pale * (dx + 1j * dy[:, None])).sum(axis=(1, 2))
        return float(np.angle(z[1:] / z[:-1]).sum() / (2 * np.pi))

    for name, sign in (('rotate_cw', 1), ('rotate_ccw', -1)):
        clip = render_clip(label(name), 'train', 1, size=64, difficulty=BARE)
        path = target_trajectory(label(name), 'train', 1, difficulty=BARE)
        assert sign * turns(clip, path, flip=False) > 0.5
        assert sign * turns(clip[:, :, ::-1], path, flip=True) < -0.5
        assert FLIP_LABEL_MAP[label(name)] == label(name) ^ 1


def test_the_flip_map_is_an_involution_on_the_classes_with_a_side() -> None:
    assert all(FLIP_LABEL_MAP[b] == a for a, b in FLIP_LABEL_MAP.items())
    kept = [name for k, name in enumerate(CLASSES) if k not in FLIP_LABEL_MAP]
    assert kept == [
        'move_up',
        'move_down',
        'grow',
        'shrink',
        'horizontal_then_vertical',
        'vertical_then_horizontal',
    ]


def test_mmaction_flip_applies_the_label_map() -> None:
    flip = Flip(flip_ratio=1.0, flip_label_map=FLIP_LABEL_MAP)
    for name, expected in (('move_left', 'move_right'), ('grow', 'grow')):
        clip = render_clip(label(name), 'train', 0, **SMALL)
        results = dict(
            imgs=list(clip.copy()),
            img_shape=(32, 32),
            modality='RGB',
            label=label(name),
        )
        results = flip(results)
        assert results['label'] == label(expected)
        assert np.array_equal(np.stack(results['imgs']), clip[:, :, ::-1])


def test_labels_are_balanced_in_each_block_and_shuffled() -> None:
    for split in SPLITS:
        labels = [clip_label(split, i, seed=7) for i in range(42)]
        assert set(Counter(labels).values()) == {3}
        assert labels[:14] != labels[14:28] and labels[:14] != sorted(labels[:14])


def test_splits_share_no_shape_no_pattern_and_no_hue() -> None:
    for table in (pictures._SHAPES, pictures._PATTERNS):
        kinds = [set(table[split]) for split in SPLITS]
        assert all(kinds) and len(set.union(*kinds)) == sum(map(len, kinds))
    bands = []
    for split in SPLITS:
        rng = np.random.default_rng(0)
        hues = [pictures._draw_hue(rng, split) for _ in range(300)]
        bands.append({int(hue * 18) for hue in hues})
        assert len(bands[-1]) == 6
    assert not set.intersection(*bands) and len(set.union(*bands)) == 18


def test_rendered_targets_wear_only_the_hues_of_their_split() -> None:
    for number, split in enumerate(SPLITS):
        for index in range(6):
            clip = render_clip(0, split, index, size=64, num_frames=2, difficulty=BARE)
            values = clip.reshape(-1, 3).astype(int)
            vivid = values[
                (values.max(1) > 170) & (values.min(1) < 0.3 * values.max(1))
            ]
            assert len(vivid) > 50
            # Edges and texture blend colors; the fill is the most frequent vivid one.
            fill = Counter(map(tuple, vivid)).most_common(1)[0][0]
            hue = colorsys.rgb_to_hsv(*(v / 255 for v in fill))[0]
            assert int(hue * 18) % 3 == number


def test_difficulty_knobs_change_the_picture_and_not_the_path() -> None:
    easy = render_clip(0, 'train', 0, **SMALL, difficulty=BARE)
    noisy = Difficulty(
        distractors=0, noise=8, background_motion=0, camera_jitter=0, contrast=0.5
    )
    hard = render_clip(0, 'train', 0, **SMALL, difficulty=noisy)
    assert np.abs(easy.astype(int) - hard).mean() > 3
    for a, b in zip(
        target_trajectory(0, 'train', 0, difficulty=BARE),
        target_trajectory(0, 'train', 0, difficulty=noisy),
    ):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    'wrong',
    [
        dict(distractors=-1),
        dict(noise=-0.1),
        dict(contrast=0),
        dict(target_size=(0.5, 0.2)),
        dict(speed=(0, 1)),
        dict(background_motion=-1),
        dict(camera_jitter=-1),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_difficulty_is_named_in_the_error(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Difficulty(**wrong)


def test_wrong_arguments_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='label 14'):
        render_clip(14, 'train', 0)
    with pytest.raises(ValueError, match="'tests'"):
        render_clip(0, 'tests', 0)
    with pytest.raises(ValueError, match='size=8'):
        render_clip(0, 'train', 0, size=8)
    with pytest.raises(ValueError, match='num_frames=1'):
        render_clip(0, 'train', 0, num_frames=1)
    with pytest.raises(ValueError, match='size=33'):
        write_motions(tmp_path, size=33)
    assert not list(tmp_path.iterdir())


def test_lists_are_balanced_and_name_existing_files(written: Path) -> None:
    assert (written / 'classes.txt').read_text().split() == list(CLASSES)
    for split, count in (('train', 28), ('val', 14), ('test', 15)):
        lines = (written / f'motions_{split}_list.txt').read_text().splitlines()
        pairs = [line.split() for line in lines]
        files = {p.name for p in (written / f'videos_{split}').iterdir()}
        assert {name for name, _ in pairs} == files and len(pairs) == count
        per_class = Counter(int(k) for _, k in pairs)
        assert len(per_class) == 14
        assert max(per_class.values()) - min(per_class.values()) <= 1


def test_files_decode_to_what_was_rendered(written: Path) -> None:
    for split in SPLITS:
        for index in (0, 7):
            clip = render_clip(
                clip_label(split, index, 3), split, index, 3, size=64, num_frames=12
            )
            found = decode(written / f'videos_{split}' / f'{index:06d}.mp4')
            assert found.shape == clip.shape
            error = np.mean((found.astype(float) - clip) ** 2)
            assert 10 * np.log10(255**2 / error) > 25  # dB; strangers give about 10


def test_workers_write_the_same_frames_as_one_process(
    written: Path, tmp_path: Path
) -> None:
    counts = {'train': 28, 'val': 14, 'test': 15}
    again = write_motions(
        tmp_path / 'again',
        counts,
        size=64,
        num_frames=12,
        seed=3,
        num_workers=2,
        progress=False,
    )
    for file in sorted(written.rglob('*.mp4'))[::5]:
        assert np.array_equal(decode(file), decode(again / file.relative_to(written)))


def test_complete_files_are_reused_and_broken_ones_rewritten(tmp_path: Path) -> None:
    def write() -> None:
        write_motions(tmp_path, {'train': 4}, **SMALL, progress=False)

    write()
    videos = tmp_path / 'videos_train'
    kept, broken, lost = (videos / f'{i:06d}.mp4' for i in (0, 1, 2))
    before, broken_frames = kept.stat().st_mtime_ns, decode(broken)
    broken.write_bytes(broken.read_bytes()[:100])
    (videos / '.part-000002.mp4').write_bytes(b'left by a killed run')
    lost.unlink()
    (tmp_path / 'motions_train_list.txt').unlink()
    write()
    assert kept.stat().st_mtime_ns == before
    assert np.array_equal(decode(broken), broken_frames)
    assert len(decode(lost)) == 8
    assert sorted(p.name for p in videos.iterdir()) == [
        f'{i:06d}.mp4' for i in range(4)
    ]
    assert (tmp_path / 'motions_train_list.txt').exists()
    assert not list(tmp_path.glob('.*'))


def test_other_settings_are_refused_in_one_line(tmp_path: Path) -> None:
    write_motions(tmp_path, {'train': 1}, **SMALL, progress=False)
    meta = json.loads((tmp_path / 'meta.json').read_text())
    assert meta['size'] == 32 and meta['difficulty']['distractors'] == 2
    with pytest.raises(FileExistsError) as error:
        write_motions(
            tmp_path,
            {'train': 1},
            **SMALL,
            seed=1,
            difficulty=Difficulty(noise=9.0),
            progress=False,
        )
    message = str(error.value)
    assert 'seed: 0 there, 1 asked' in message
    assert 'difficulty.noise: 3.0 there, 9.0 asked' in message
    assert 'size' not in message.replace('target_size', '') and '\n' not in message


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').write_text('precious')
    with pytest.raises(FileExistsError, match=r'no meta\.json'):
        write_motions(tmp_path, {'train': 1}, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_an_encoder_that_writes_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *args: object) -> None:
            pass

        def write(self, frame: np.ndarray) -> None:
            pass

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, 'VideoWriter', Mute)
    with pytest.raises(OSError, match='could not be written'):
        write_motions(tmp_path / 'm', {'train': 1}, **SMALL, progress=False)
    assert not (tmp_path / 'm' / 'motions_train_list.txt').exists()
