"""Pictures: what a clip looks like, drawn without ever seeing the label."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mmvkd.datasets.motions.classes import SPLITS, split_index
from mmvkd.datasets.motions.difficulty import Difficulty

_HUE_BANDS = 18  # of the color circle, dealt to the splits in turn

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


class Look(NamedTuple):
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
    return (band + split_index(split) + rng.uniform(0.1, 0.9)) / _HUE_BANDS


def _draw_color(
    rng: np.random.Generator,
    split: str,
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> np.ndarray:
    hue = _draw_hue(rng, split)
    rgb = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return np.array(rgb, np.float32)


def draw_look(
    rng: np.random.Generator,
    split: str,
    size: int,
    num_frames: int,
    difficulty: Difficulty,
) -> Look:
    """Draw all of a clip but the target's motion from one random stream."""
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
    return Look(background, drift, shake, target, distractors)


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
