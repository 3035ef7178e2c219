"""Rendering: a trajectory and a look become the frames of a clip."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mmvkd.datasets.motions.classes import LOOK, NOISE, checked_label, generator
from mmvkd.datasets.motions.difficulty import Difficulty
from mmvkd.datasets.motions.pictures import draw_look
from mmvkd.datasets.motions.trajectories import target_trajectory


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
        ValueError: if an argument is out of range.
    """
    difficulty = difficulty or Difficulty()
    check_shape(size, num_frames)
    backwards = checked_label(label) % 2
    # Only the first class of a pair is rendered; the second is its reversal: every
    # frame of one is a frame of the other, noise and rounding included.
    path = target_trajectory(
        label - backwards,
        split,
        index,
        seed,
        num_frames=num_frames,
        difficulty=difficulty,
    )
    look = draw_look(
        generator(seed, split, index, LOOK), split, size, num_frames, difficulty
    )
    noise = generator(seed, split, index, NOISE)

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


def check_shape(size: int, num_frames: int) -> None:
    """Refuse clips too small to show a motion."""
    if size < 16:
        raise ValueError(f'Motions: size={size}, expected at least 16 pixels')
    if num_frames < 2:
        raise ValueError(f'Motions: num_frames={num_frames}, expected at least 2')


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
