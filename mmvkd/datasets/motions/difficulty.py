"""Difficulty: the knobs that make Motions harder or easier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _knob(default: Any, meaning: str) -> Any:
    """A field that tools/data/make_motions.py takes as an argument, with its help."""
    return field(default=default, metadata=dict(help=meaning))


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
        ValueError: if a value is out of range.
    """

    distractors: int = _knob(2, 'at most')
    noise: float = _knob(3.0, 'in gray levels')
    contrast: float = _knob(1.0, 'in (0, 1]')
    target_size: tuple[float, float] = _knob((0.25, 0.5), 'diameter, in sides')
    speed: tuple[float, float] = _knob(
        (0.75, 1.25), '1 is 0.8 sides, one turn or one growth cycle in a clip'
    )
    background_motion: float = _knob(0.1, 'largest drift over a clip, in sides')
    camera_jitter: float = _knob(0.01, 'amplitude, in sides')

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
