"""Motions: generated videos whose classes differ by motion alone.

A marked target moves over a patterned background among plain distractors. Three
properties hold by construction:

* **A frame says nothing.** The picture is a torus: what leaves on one side comes back
  on the other. Position, orientation and (log) size of the target are uniform at every
  time and in every class, so no single frame, first and last included, tells any class
  from any other.
* **A set of frames does not tell a pair apart.** The second class of a reversal pair
  *is* the first one with its frames reversed; everything else in the clip (drift of
  the background, distractors, camera jitter, noise) is symmetric under time reversal.
* **Nothing but the label changes the motion.** Appearance, distractors and noise come
  from random streams of (seed, split, index) that never see the label.

Train, val and test use disjoint hues, target shapes and background patterns.
"""

from __future__ import annotations

import colorsys
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

REVERSAL_PAIRS: tuple[tuple[str, str], ...] = (
    ('move_left', 'move_right'),
    ('move_up', 'move_down'),
    ('move_up_left', 'move_down_right'),
    ('move_up_right', 'move_down_left'),
    ('rotate_cw', 'rotate_ccw'),
    ('grow', 'shrink'),
    ('horizontal_then_vertical', 'vertical_then_horizontal'),
)
"""Pairs of classes; a clip of the second is a clip of the first played backwards."""

CLASSES: tuple[str, ...] = tuple(name for pair in REVERSAL_PAIRS for name in pair)
"""Class names; the position is the label. Partners differ in the last bit."""

_MIRROR_PAIRS = (
    ('move_left', 'move_right'),
    ('move_up_left', 'move_up_right'),
    ('move_down_left', 'move_down_right'),
    ('rotate_cw', 'rotate_ccw'),
)

FLIP_LABEL_MAP: dict[int, int] = {
    CLASSES.index(a): CLASSES.index(b)
    for pair in _MIRROR_PAIRS
    for a, b in (pair, pair[::-1])
}
"""Labels that a horizontal flip changes, for MMAction2's ``Flip``; others stay."""

SPLITS: tuple[str, ...] = ('train', 'val', 'test')
DEFAULT_COUNTS: Mapping[str, int] = {'train': 840, 'val': 280, 'test': 280}

_FORMAT = 1  # raise when a change of this file changes rendered frames
_TRAVEL = 0.8  # path length of a translation at speed 1, in sides
_TURNS = 1.0  # turns of a rotation at speed 1
_CYCLES = 1.0  # growth cycles, smallest to largest size, at speed 1
_LOOK, _MOTION, _NOISE, _LABELS = range(4)  # independent random streams
_HUE_BANDS = 18  # of the color circle, dealt to the splits in turn


@dataclass(frozen=True)
class Difficulty:
    """What makes Motions harder or easier; the defaults suit a small TSM at 64x64.

    Args:
        distractors: Largest number of distractors in a clip (each clip draws 0 to it).
        noise: Standard deviation of the luminance noise, in gray levels.
        contrast: Contrast of target and distractors to the background, in (0, 1].
        target_size: Smallest and largest diameter of the target, in sides. ``grow``
            and ``shrink`` sweep this range; the other classes draw one size from it.
        speed: Smallest and largest speed; 1 is 0.8 sides of travel, one turn or one
            growth cycle in a clip.
        background_motion: Largest drift of the background over a clip, in sides.
        camera_jitter: Amplitude of the smooth camera shake, in sides.

    Raises:
        ValueError: If a value is out of range.
    """

    distractors: int = 2
    noise: float = 3.0
    contrast: float = 1.0
    target_size: tuple[float, float] = (0.25, 0.5)
    speed: tuple[float, float] = (0.75, 1.25)
    background_motion: float = 0.1
    camera_jitter: float = 0.01

    def __post_init__(self) -> None:
        low, high = self.target_size
        slow, fast = self.speed
        rules = (
            ('distractors', self.distractors >= 0, 'an integer >= 0'),
            ('noise', self.noise >= 0, 'a number >= 0'),
            ('contrast', 0 < self.contrast <= 1, 'a number in (0, 1]'),
            ('target_size', 0 < low <= high <= 0.8, '0 < smallest <= largest <= 0.8'),
            ('speed', 0 < slow <= fast, '0 < smallest <= largest'),
            ('background_motion', self.background_motion >= 0, 'a number >= 0'),
            ('camera_jitter', self.camera_jitter >= 0, 'a number >= 0'),
        )
        for name, ok, expected in rules:
            if not ok:
                raise ValueError(
                    f'Motions: {name}={getattr(self, name)!r}, expected {expected}'
                )


class Trajectory(NamedTuple):
    """State of the target in each of ``T`` frames.

    Attributes:
        x, y: ``(T,)`` centers in sides, to be read modulo 1; y points down.
        angle: ``(T,)`` orientations in radians, clockwise as seen.
        diameter: ``(T,)`` diameters in sides.
    """

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    diameter: np.ndarray


def clip_label(split: str, index: int, seed: int = 0) -> int:
    """Give the label of clip ``index``: each block of indices holds each class once.

    Args:
        split: One of ``SPLITS``.
        index: Position of the clip in its split, >= 0.
        seed: Seed of the data set.

    Returns:
        Index into ``CLASSES``.
    """
    block, position = divmod(index, len(CLASSES))
    order = _generator(seed, split, block, _LABELS).permutation(len(CLASSES))
    return int(order[position])


def target_trajectory(
    label: int,
    split: str,
    index: int,
    seed: int = 0,
    *,
    num_frames: int = 32,
    difficulty: Difficulty | None = None,
) -> Trajectory:
    """Give the path of the target, which is all that the label decides.

    Args:
        label: Index into ``CLASSES``.
        split: One of ``SPLITS``.
        index: Position of the clip in its split, >= 0.
        seed: Seed of the data set.
        num_frames: Number of frames ``T``.
        difficulty: Difficulty knobs; None takes the defaults.

    Returns:
        The trajectory. That of a pair's second class is the first one's, reversed.
    """
    difficulty = difficulty or Difficulty()
    pair, backwards = divmod(_checked_label(label), 2)
    rng = _generator(seed, split, index, _MOTION)
    # The draws are the same for every label, so that labels share all but the motion.
    x0, y0, phase, turn = rng.random(4)
    speed = rng.uniform(*difficulty.speed)
    corner = rng.uniform(0.4, 0.6)
    sign_x, sign_y = rng.choice((-1.0, 1.0), size=2)

    s = np.linspace(0.0, 1.0, num_frames)
    x, y, cycle, turns = (np.zeros(num_frames) for _ in range(4))
    travel = _TRAVEL * speed
    name = REVERSAL_PAIRS[pair][0]
    if name == 'move_left':
        x = -travel * s
    elif name == 'move_up':
        y = -travel * s
    elif name == 'move_up_left':
        x = y = -travel * s / math.sqrt(2)
    elif name == 'move_up_right':
        x, y = travel * s / math.sqrt(2), -travel * s / math.sqrt(2)
    elif name == 'rotate_cw':
        turns = _TURNS * speed * s
    elif name == 'grow':
        cycle = _CYCLES * speed * s
    else:  # horizontal_then_vertical
        x = sign_x * travel * np.minimum(s, corner)
        y = sign_y * travel * np.maximum(s - corner, 0.0)

    low, high = difficulty.target_size
    path = Trajectory(
        x=x0 + x,
        y=y0 + y,
        angle=2 * math.pi * (turn + turns),
        # Uniform in the logarithm at every time, growing or not.
        diameter=low * (high / low) ** np.mod(phase + cycle, 1.0),
    )
    if backwards:
        path = Trajectory(*(values[::-1] for values in path))
    return path


def render_clip(
    label: int,
    split: str,
    index: int,
    seed: int = 0,
    *,
    size: int = 112,
    num_frames: int = 32,
    difficulty: Difficulty | None = None,
) -> np.ndarray:
    """Render one clip, a pure function of its arguments.

    Args:
        label: Index into ``CLASSES``; ``clip_label`` gives the data set's own choice.
        split: One of ``SPLITS``; decides hues, shapes and background patterns.
        index: Position of the clip in its split, >= 0.
        seed: Seed of the data set.
        size: Side of the square frames in pixels, >= 16.
        num_frames: Number of frames ``T``.
        difficulty: Difficulty knobs; None takes the defaults.

    Returns:
        ``(T, size, size, 3)`` uint8 RGB frames.

    Raises:
        ValueError: If an argument is out of range.
    """
    difficulty = difficulty or Difficulty()
    _check_shape(size, num_frames)
    backwards = _checked_label(label) % 2
    # Only the first class of a pair is rendered, the second is its reversal: every
    # frame of one is a frame of the other, noise and rounding included.
    path = target_trajectory(
        label - backwards,
        split,
        index,
        seed,
        num_frames=num_frames,
        difficulty=difficulty,
    )
    look = _draw_look(
        _generator(seed, split, index, _LOOK), split, size, num_frames, difficulty
    )
    noise = _generator(seed, split, index, _NOISE)

    clip = np.empty((num_frames, size, size, 3), np.uint8)
    for t in range(num_frames):
        frame = _shifted(look.background, look.drift[t])
        for sprite, places, diameter in look.distractors:
            x, y = places[t]
            _paste(frame, sprite, x, y, 0.0, diameter)
        shake_x, shake_y = look.shake[t]
        _paste(
            frame,
            look.target,
            path.x[t] + shake_x,
            path.y[t] + shake_y,
            path.angle[t],
            path.diameter[t],
        )
        frame *= 255.0
        if difficulty.noise:
            grain = noise.standard_normal((size, size, 1), dtype=np.float32)
            frame += difficulty.noise * grain
        clip[t] = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    return clip[::-1].copy() if backwards else clip


def write_motions(
    root: str | os.PathLike[str],
    counts: Mapping[str, int] | None = None,
    size: int = 112,
    num_frames: int = 32,
    fps: int = 16,
    seed: int = 0,
    num_workers: int = 1,
    difficulty: Difficulty | None = None,
    progress: bool = True,
) -> Path:
    """Write Motions as mp4 files in the directory layout of MMAction2.

    ``root`` gets ``videos_{split}/*.mp4``, ``motions_{split}_list.txt`` (lines
    ``file label``), ``classes.txt`` and ``meta.json``. The lists are written last, so
    a split that has its list is complete. Complete files are reused.

    Args:
        root: Directory of the data set; new, empty, or written with equal settings.
        counts: Clips per split; None takes ``DEFAULT_COUNTS``.
        size: Side of the square frames in pixels, even (the codec wants that).
        num_frames: Frames per clip.
        fps: Frame rate written to the files, in frames per second.
        seed: Seed of the data set.
        num_workers: Processes that render and encode.
        difficulty: Difficulty knobs; None takes the defaults.
        progress: Whether to show a progress line on stderr.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If ``root`` holds something else than these settings.
        OSError: If a video cannot be written.
    """
    root = Path(root)
    difficulty = difficulty or Difficulty()
    counts = dict(DEFAULT_COUNTS if counts is None else counts)
    _check_shape(size, num_frames)
    if size % 2:
        raise ValueError(f'Motions: size={size}, expected an even number of pixels')
    if seed < 0:
        raise ValueError(f'Motions: seed={seed}, expected an integer >= 0')
    if fps < 1:
        raise ValueError(f'Motions: fps={fps}, expected an integer >= 1')
    for split, count in counts.items():
        _split_index(split)
        if count < 0:
            raise ValueError(f'Motions: counts[{split!r}]={count}, expected >= 0')

    meta = {
        'format': _FORMAT,
        'classes': list(CLASSES),
        'counts': {split: counts.get(split, 0) for split in SPLITS},
        'size': size,
        'num_frames': num_frames,
        'fps': fps,
        'seed': seed,
        'difficulty': asdict(difficulty),
    }
    meta = json.loads(json.dumps(meta))  # as it reads back: tuples become lists
    _claim(root, meta)

    jobs = []
    for split in SPLITS:
        if meta['counts'][split]:
            (root / f'videos_{split}').mkdir(exist_ok=True)
        for index in range(meta['counts'][split]):
            path = root / f'videos_{split}' / _file_name(index)
            jobs.append(
                _Job(str(path), split, index, seed, size, num_frames, fps, difficulty)
            )
    show = _Progress(len(jobs)) if progress else None
    for _ in _run(_write_clip, jobs, num_workers):
        if show:
            show.step()

    _write_text(root / 'classes.txt', '\n'.join(CLASSES) + '\n')
    for split in SPLITS:
        lines = (
            f'{_file_name(index)} {clip_label(split, index, seed)}\n'
            for index in range(meta['counts'][split])
        )
        if meta['counts'][split]:
            _write_text(root / f'motions_{split}_list.txt', ''.join(lines))
    return root


# -- randomness and checks -------------------------------------------------------------


def _split_index(split: str) -> int:
    if split not in SPLITS:
        raise ValueError(f'Motions: split {split!r}, expected one of {SPLITS}')
    return SPLITS.index(split)


def _generator(seed: int, split: str, index: int, stream: int) -> np.random.Generator:
    if seed < 0 or index < 0:
        raise ValueError(f'Motions: seed={seed}, index={index}, expected both >= 0')
    return np.random.default_rng([seed, _split_index(split), index, stream])


def _checked_label(label: int) -> int:
    if not 0 <= label < len(CLASSES):
        raise ValueError(f'Motions: label {label}, expected 0 to {len(CLASSES) - 1}')
    return int(label)


def _check_shape(size: int, num_frames: int) -> None:
    if size < 16:
        raise ValueError(f'Motions: size={size}, expected at least 16 pixels')
    if num_frames < 2:
        raise ValueError(f'Motions: num_frames={num_frames}, expected at least 2')


# -- appearance ------------------------------------------------------------------------

# A shape is its outline rho(phi) <= 1, mirror-symmetric about phi = 0 as the marker is:
# a flipped target is then the same target at another angle, and flips are exact.


def _polygon(corners: int) -> Callable[[np.ndarray], np.ndarray]:
    def outline(phi: np.ndarray) -> np.ndarray:
        half = math.pi / corners
        return math.cos(half) / np.cos(np.mod(phi + half, 2 * half) - half)

    return outline


def _lobes(count: int, depth: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda phi: 1 - depth + depth * np.cos(count * phi)


def _ellipse(ratio: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda phi: ratio / np.sqrt(np.cos(phi) ** 2 * (ratio**2 - 1) + 1)


_SHAPES: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    'train': {
        'square': _polygon(4),
        'hexagon': _polygon(6),
        'clover': _lobes(3, 0.2),
        'flower': _lobes(7, 0.1),
    },
    'val': {'disc': lambda phi: np.ones_like(phi), 'cross': _lobes(4, 0.2)},
    'test': {'pentagon': _polygon(5), 'ellipse': _ellipse(0.8), 'star': _lobes(5, 0.2)},
}

# Patterns are functions on the torus: coordinates enter through whole waves only.


def _wave(rng: np.random.Generator, u: np.ndarray, low: int, high: int) -> np.ndarray:
    """Draw a plane wave of ``low`` to ``high`` periods per side in any direction."""
    angle, periods = rng.uniform(0, 2 * math.pi), rng.uniform(low, high)
    k = np.rint(periods * np.array([math.cos(angle), math.sin(angle)]))
    return 2 * math.pi * (k[0] * u[0] + k[1] * u[1] + rng.random())


def _stripes(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    return np.tanh(2.0 * np.sin(_wave(rng, u, 3, 6)))


def _clouds(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    return sum(np.sin(_wave(rng, u, 1, 5)) for _ in range(6)) / 3.0


def _checks(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    return np.tanh(3.0 * np.sin(_wave(rng, u, 2, 4)) * np.sin(_wave(rng, u, 2, 4)))


def _dots(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    waves = np.cos(_wave(rng, u, 3, 5)) + np.cos(_wave(rng, u, 3, 5))
    return np.tanh(3.0 * (waves - 0.8))


def _plaid(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    first, second = np.sin(_wave(rng, u, 2, 5)), np.sin(_wave(rng, u, 2, 5))
    return np.tanh(2.0 * first) / 2 + np.tanh(2.0 * second) / 2


def _rings(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    center = rng.random(2)
    distance = np.hypot(
        np.sin(math.pi * (u[0] - center[0])), np.sin(math.pi * (u[1] - center[1]))
    )
    return np.sin(2 * math.pi * rng.uniform(3, 5) * distance)


def _ripples(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    return np.sin(_wave(rng, u, 3, 5) + 1.5 * np.sin(_wave(rng, u, 1, 3)))


_PATTERNS: dict[str, tuple[Callable[[np.random.Generator, np.ndarray], Any], ...]] = {
    'train': (_stripes, _clouds, _checks),
    'val': (_dots, _plaid),
    'test': (_rings, _ripples),
}


class _Look(NamedTuple):
    """Everything in a clip but the target's motion; lengths in sides."""

    background: np.ndarray  # (size, size, 3) in [0, 1]
    drift: np.ndarray  # (T, 2) offset of the background, shake included
    shake: np.ndarray  # (T, 2) offset of the camera
    target: np.ndarray  # (P, P, 4) premultiplied sprite
    distractors: list[tuple[np.ndarray, np.ndarray, float]]  # sprite, (T, 2), diameter


def _draw_hue(rng: np.random.Generator, split: str) -> float:
    """Draw a hue from the split's own bands of the color circle.

    The bands of the three splits interleave: hues are disjoint, yet no split is, say,
    all blue. A fifth of each band is left out at the border to its neighbor.
    """
    band = len(SPLITS) * int(rng.integers(_HUE_BANDS // len(SPLITS)))
    return (band + _split_index(split) + rng.uniform(0.1, 0.9)) / _HUE_BANDS


def _draw_color(
    rng: np.random.Generator,
    split: str,
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> np.ndarray:
    hue = _draw_hue(rng, split)
    rgb = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, np.float32)


def _draw_look(
    rng: np.random.Generator,
    split: str,
    size: int,
    num_frames: int,
    difficulty: Difficulty,
) -> _Look:
    s = np.linspace(0.0, 1.0, num_frames)

    grid = np.arange(size) / size
    u = np.stack([np.broadcast_to(grid, (size, size)), np.tile(grid[:, None], size)])
    pattern = _PATTERNS[split][rng.integers(len(_PATTERNS[split]))](rng, u)
    blend = np.clip(0.5 + 0.5 * pattern, 0, 1)[..., None].astype(np.float32)
    dark = _draw_color(rng, split, (0.2, 0.6), (0.20, 0.40))
    light = _draw_color(rng, split, (0.2, 0.6), (0.35, 0.55))
    background = dark + (light - dark) * blend
    middle = background.mean(axis=(0, 1))

    # Slow sines with random phases: stationary, and the same law backwards.
    rates = rng.uniform(0.5, 3.0, size=(1, 2, 3))
    phases = rng.uniform(0, 2 * math.pi, size=(1, 2, 3))
    sines = np.sin(2 * math.pi * rates * s[:, None, None] + phases)
    shake = difficulty.camera_jitter * sines.mean(axis=2)
    drift = s[:, None] * _draw_velocity(rng, difficulty.background_motion) + shake

    pixels = max(16, math.ceil(difficulty.target_size[1] * size)) + 4
    target = _draw_sprite(rng, split, pixels, difficulty.contrast, middle, marked=True)

    distractors = []
    for _ in range(int(rng.integers(difficulty.distractors + 1))):
        sprite = _draw_sprite(
            rng, split, pixels, difficulty.contrast, middle, marked=False
        )
        start, velocity = rng.random(2), _draw_velocity(rng, 0.4)
        if rng.random() < 0.5:
            velocity = np.zeros(2)
        diameter = difficulty.target_size[0] * rng.uniform(0.4, 0.6)
        places = start + s[:, None] * velocity + shake
        distractors.append((sprite, places, float(diameter)))
    return _Look(background, drift, shake, target, distractors)


def _draw_velocity(rng: np.random.Generator, largest: float) -> np.ndarray:
    angle = rng.uniform(0, 2 * math.pi)
    return rng.uniform(0, largest) * np.array([math.cos(angle), math.sin(angle)])


def _draw_sprite(
    rng: np.random.Generator,
    split: str,
    pixels: int,
    contrast: float,
    middle: np.ndarray,
    marked: bool,
) -> np.ndarray:
    """Draw a shape of unit radius in a ``(pixels, pixels, 4)`` premultiplied picture.

    The marker of the target is a pale half, so that its orientation can be seen.
    """
    shapes = _SHAPES[split]
    outline = shapes[sorted(shapes)[rng.integers(len(shapes))]]
    fill = _draw_color(rng, split, (0.75, 1.0), (0.7, 1.0))
    pale = _draw_color(rng, split, (0.0, 0.15), (0.92, 1.0))
    ripple = rng.uniform(0, 0.25) * (1 if rng.random() < 0.5 else 0)
    waves = rng.uniform(1.5, 3.0)

    radius = (pixels - 4) / 2
    axis = (np.arange(pixels) - (pixels - 1) / 2) / radius
    x, y = np.meshgrid(axis, axis)
    inside = outline(np.arctan2(y, x)) - np.hypot(x, y)
    alpha = np.clip(inside * radius + 0.5, 0, 1)[..., None]
    color = np.broadcast_to(fill, (pixels, pixels, 3)).copy()
    if marked:
        front = np.clip((x - 0.1) * radius + 0.5, 0, 1)[..., None]
        color = color + front * (pale - color)
    color = (
        color * (1 - ripple * (0.5 + 0.5 * np.sin(2 * math.pi * waves * x)))[..., None]
    )
    color = middle + contrast * (color - middle)
    return np.concatenate([color * alpha, alpha], axis=2).astype(np.float32)


# -- drawing ---------------------------------------------------------------------------


def _shifted(picture: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Shift a toroidal picture by a fraction of its side, between pixels too."""
    size = picture.shape[0]
    dx, dy = float(offset[0]) * size, float(offset[1]) * size
    left, top = math.floor(dx), math.floor(dy)
    moved = np.roll(picture, (top, left), axis=(0, 1))
    if dx != left:
        moved += np.float32(dx - left) * (np.roll(moved, 1, axis=1) - moved)
    if dy != top:
        moved += np.float32(dy - top) * (np.roll(moved, 1, axis=0) - moved)
    return moved


def _paste(
    frame: np.ndarray,
    sprite: np.ndarray,
    x: float,
    y: float,
    angle: float,
    diameter: float,
) -> None:
    """Draw a sprite onto a toroidal frame in place; lengths are in sides."""
    size, pixels = frame.shape[0], sprite.shape[0]
    # Taking the center modulo 1 first keeps the rounding below the same everywhere.
    cx, cy = (x % 1.0) * size, (y % 1.0) * size
    reach = math.ceil(diameter * size / 2) + 2
    left, top, side = math.floor(cx) - reach, math.floor(cy) - reach, 2 * reach + 1

    zoom = (pixels - 4) / (diameter * size)  # sprite pixels per frame pixel
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    dx, dy, middle = left - cx, top - cy, (pixels - 1) / 2
    to_sprite = np.array(
        [
            [cos, sin, cos * dx + sin * dy + middle],
            [-sin, cos, -sin * dx + cos * dy + middle],
        ]
    )
    patch = cv2.warpAffine(
        sprite,
        to_sprite,
        (side, side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    if side > size:  # only in tiny frames; the cut rim is transparent
        cut = (side - size + 1) // 2
        patch, left, top = patch[cut:-cut, cut:-cut], left + cut, top + cut
        side -= 2 * cut
    span = np.arange(side)
    where = np.ix_((top + span) % size, (left + span) % size)
    frame[where] = frame[where] * (1 - patch[..., 3:]) + patch[..., :3]


# -- files -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """One file to write."""

    path: str
    split: str
    index: int
    seed: int
    size: int
    num_frames: int
    fps: int
    difficulty: Difficulty


def _file_name(index: int) -> str:
    return f'{index:06d}.mp4'


def _claim(root: Path, meta: dict[str, Any]) -> None:
    """Write ``meta.json``, or refuse a directory that holds something else."""
    file = root / 'meta.json'
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding='utf-8'))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise FileExistsError(
                f'{file} is not readable as JSON: delete {root} or give another one'
            )
        differences = ', '.join(_differences(found, meta))
        if differences:
            raise FileExistsError(
                f'{root} holds Motions with other settings ({differences}): ask for '
                'those settings, delete it or give another directory'
            )
    elif root.is_dir() and any(root.iterdir()):
        raise FileExistsError(
            f'{root} is not empty and has no meta.json: give a new or empty directory'
        )
    else:
        root.mkdir(parents=True, exist_ok=True)
        _write_text(file, json.dumps(meta, indent=2) + '\n')


def _differences(
    found: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = ''
) -> Iterator[str]:
    for key in sorted({*found, *asked}):
        there, here = found.get(key), asked.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            yield from _differences(there, here, f'{prefix}{key}.')
        elif there != here:
            yield f'{prefix}{key}: {there} there, {here} asked'


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f'.{path.name}.part')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)


def _holds(path: Path, num_frames: int) -> bool:
    """Say whether ``path`` opens as a video of this many frames."""
    if not path.is_file() or not path.stat().st_size:
        return False
    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == num_frames
    finally:
        capture.release()


def _write_clip(job: _Job) -> None:
    path = Path(job.path)
    if _holds(path, job.num_frames):
        return
    clip = render_clip(
        clip_label(job.split, job.index, job.seed),
        job.split,
        job.index,
        job.seed,
        size=job.size,
        num_frames=job.num_frames,
        difficulty=job.difficulty,
    )
    # The same name on every try: a killed run leaves nothing that the next one keeps.
    partial = path.with_name(f'.part-{path.name}')
    codec = cv2.VideoWriter.fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(partial), codec, job.fps, (job.size, job.size))
    try:
        for frame in clip:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    # VideoWriter reports neither a missing codec nor a full disk.
    if not _holds(partial, job.num_frames):
        raise OSError(
            f'{path} could not be written: OpenCV {cv2.__version__} gave no readable '
            'mp4v video; check the disk space and the OpenCV build'
        )
    os.replace(partial, path)


def _start_worker() -> None:
    cv2.setNumThreads(0)


def _run(
    function: Callable[[_Job], None], jobs: Sequence[_Job], num_workers: int
) -> Iterator[None]:
    if num_workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            function(job)
            yield
        return
    # 'spawn' is safe in a process that already runs threads, which 'fork' is not.
    context = multiprocessing.get_context('spawn')
    with context.Pool(min(num_workers, len(jobs)), initializer=_start_worker) as pool:
        yield from pool.imap_unordered(function, jobs, chunksize=4)


class _Progress:
    """A progress line on stderr: rewritten in a terminal, a line per 10 % in a log."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, time.monotonic()

    def step(self) -> None:
        self.done += 1
        terminal = sys.stderr.isatty()
        last = self.done == self.total
        tenths = 10 * self.done // self.total
        if not (terminal or last or tenths > 10 * (self.done - 1) // self.total):
            return
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        line = f'Motions: {self.done}/{self.total} videos, {rate:.0f} per second'
        end = '\n' if last or not terminal else ''
        sys.stderr.write(('\r' if terminal else '') + line + end)
        sys.stderr.flush()
