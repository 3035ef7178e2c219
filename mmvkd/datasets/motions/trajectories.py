"""Trajectories: the path of the target, which the label decides."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mmvkd.datasets.motions.classes import (
    MOTION,
    REVERSAL_PAIRS,
    checked_label,
    generator,
)
from mmvkd.datasets.motions.difficulty import Difficulty

_TRAVEL = 0.8  # path length of a translation at speed 1, in sides
_TURNS = 1.0  # turns of a rotation at speed 1
_CYCLES = 1.0  # growth cycles, smallest to largest size, at speed 1


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
    pair, backwards = divmod(checked_label(label), 2)
    rng = generator(seed, split, index, MOTION)
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
