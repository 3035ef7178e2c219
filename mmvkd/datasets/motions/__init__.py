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
* **The label changes nothing but the motion.** Appearance, distractors and noise come
  from random streams of (seed, split, index) that never see the label.

Train, val and test use disjoint hues, target shapes and background patterns.
"""

from mmvkd.datasets.motions.classes import (
    CLASSES,
    FLIP_LABEL_MAP,
    REVERSAL_PAIRS,
    SPLITS,
    clip_label,
)
from mmvkd.datasets.motions.difficulty import Difficulty
from mmvkd.datasets.motions.rendering import render_clip
from mmvkd.datasets.motions.trajectories import Trajectory, target_trajectory
from mmvkd.datasets.motions.writing import DEFAULT_COUNTS, write_motions

__all__ = [
    'CLASSES',
    'DEFAULT_COUNTS',
    'FLIP_LABEL_MAP',
    'REVERSAL_PAIRS',
    'SPLITS',
    'Difficulty',
    'Trajectory',
    'clip_label',
    'render_clip',
    'target_trajectory',
    'write_motions',
]
