"""Weak supervision made from a clean list: wrong labels, and labels taken away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmvkd.datasets.seeded import SeededDataset
from mmvkd.files import write_json
from mmvkd.registry import DATASETS

Confusion = Union[None, str, Mapping[int, int]]
"""See :func:`add_noise`."""


@DATASETS.register_module()
class WeakLabels(SeededDataset):
    """A :class:`SeededDataset` that weakens the labels of its list, by a fixed seed.

    First some labels become wrong, then some are taken away (−1); a distiller leaves
    clips without a label out of every loss on labels. Only a training set can be
    weakened. The labels depend on the list, the settings here and ``label_seed``, not
    on the run's seed; the true ones stay in the annotations as ``clean_label``, to
    judge refined labels by. They never reach a batch.

    Args:
        dataset: See :class:`SeededDataset`.
        noise: Share of the labels that become wrong.
        confusion: Which class is taken for which; see :func:`add_noise`.
        labeled: Share of the clips of each class that keep a label.
        labeled_only: Leave the other clips out, for models that need every label.
        label_seed: Seed of the draws.
        num_classes: M; one more than the largest label if None.
        record: JSON file to which the settings, counts and labels are written.
        **settings: Other settings of :class:`SeededDataset`.

    Raises:
        ValueError: for a data set in ``test_mode``, several labels per clip, or
            settings out of range.
    """

    def __init__(
        self,
        dataset: Union[BaseDataset, Mapping[str, Any]],
        noise: float = 0.0,
        confusion: Confusion = None,
        labeled: float = 1.0,
        labeled_only: bool = False,
        label_seed: int = 0,
        num_classes: Optional[int] = None,
        record: Optional[str] = None,
        **settings: Any,
    ) -> None:
        super().__init__(dataset, **settings)
        source = self.dataset
        if source.test_mode:
            raise ValueError(
                f"'{source.ann_file}' is loaded in test_mode: labels that a score is "
                'computed with stay as they are; wrap the training set alone'
            )
        if getattr(source, 'multi_class', False):
            raise ValueError(
                f"'{source.ann_file}' has several labels a clip (multi_class=True); "
                'WeakLabels needs one'
            )
        clean = [source.get_data_info(i)['label'] for i in range(len(source))]
        self.clean = np.array(clean, dtype=np.int64)
        classes = num_classes or int(self.clean.max()) + 1
        noisy = add_noise(self.clean, noise, classes, confusion, label_seed)
        self.labels = take_away(noisy, self.clean, labeled, label_seed)
        if labeled_only:
            kept = np.flatnonzero(self.labels >= 0)
            source.get_subset_(kept.tolist())
            self.labels, self.clean = self.labels[kept], self.clean[kept]
        self._tell(
            record,
            dict(
                list=str(source.ann_file),
                noise=noise,
                confusion=str(confusion or 'any other'),
                labeled=labeled,
                label_seed=label_seed,
            ),
        )

    def get_data_info(self, index: int) -> dict:
        """The annotation with the weakened label."""
        info = super().get_data_info(index)
        return dict(
            info, label=int(self.labels[index]), clean_label=int(self.clean[index])
        )

    def _tell(self, record: Optional[str], settings: dict[str, Any]) -> None:
        """Log the counts, and write them down with the labels."""
        labeled = self.labels >= 0
        counts = dict(
            clips=len(self),
            labeled=int(labeled.sum()),
            wrong=int((self.labels != self.clean)[labeled].sum()),
        )
        print_log(
            f"weak labels of '{settings['list']}': {counts['labeled']} of "
            f'{counts["clips"]} clips are labeled, {counts["wrong"]} of them wrongly',
            logger='current',
        )
        if record is not None and is_main_process():
            labels = dict(labels=self.labels.tolist(), clean=self.clean.tolist())
            write_json(Path(record), {**settings, **counts, **labels})


def add_noise(
    labels: np.ndarray,
    share: float,
    num_classes: int,
    confusion: Confusion = None,
    seed: int = 0,
) -> np.ndarray:
    """Make a share of the labels wrong.

    Of the clips whose class can be taken for another, exactly ``share``, rounded, get a
    wrong label.

    Args:
        labels: (n,) classes; −1, for none, stays.
        share: In [0, 1].
        num_classes: M.
        confusion: None for any other class, all equally likely (symmetric noise);
            ``'next'`` for the next class, the first after the last; or a mapping from
            right to wrong classes (asymmetric noise), which leaves others as they are.
        seed: Seed of the draw.

    Returns:
        (n,) classes.

    Raises:
        ValueError: for a share or a class out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f'noise={share}, expected a share from 0 to 1')
    if labels.max(initial=-1) >= num_classes:
        raise ValueError(f'label {labels.max()} is none of num_classes={num_classes}')
    rng = np.random.default_rng((seed, 0))
    # wrong[i]: what clip i would be taken for
    wrong = labels.copy()
    if confusion is None:
        if num_classes > 1:
            other = rng.integers(num_classes - 1, size=len(labels))
            wrong = np.where(labels >= 0, other + (other >= labels), labels)
    else:
        pairs = _pairs(confusion, num_classes)
        for right in pairs:
            wrong[labels == right] = pairs[right]
    candidates = rng.permutation(np.flatnonzero(wrong != labels))
    chosen = candidates[: round(share * len(candidates))]
    noisy = labels.copy()
    noisy[chosen] = wrong[chosen]
    return noisy


def take_away(
    labels: np.ndarray, classes: np.ndarray, share: float, seed: int = 0
) -> np.ndarray:
    """Labels of a share of the clips, −1 for the others.

    In each class, ``share`` of the clips, rounded, but at least one, keep their label.
    The choice does not depend on the labels, so noise does not change it.

    Args:
        labels: (n,).
        classes: (n,) within which the share is drawn.
        share: In (0, 1].
        seed: Seed of the draw.

    Returns:
        (n,) classes or −1.

    Raises:
        ValueError: for a share out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f'labeled={share}, expected a share above 0, up to 1')
    rng = np.random.default_rng((seed, 1))
    kept = np.full_like(labels, -1)
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        members = members[: max(1, round(share * len(members)))]
        kept[members] = labels[members]
    return kept


def _pairs(confusion: Union[str, Mapping[int, int]], classes: int) -> dict[int, int]:
    if confusion == 'next':
        return {label: (label + 1) % classes for label in range(classes)}
    if isinstance(confusion, str):
        raise ValueError(
            f"confusion '{confusion}' is unknown; expected 'next', a dict of classes "
            'or None'
        )
    pairs = {int(right): int(wrong) for right, wrong in confusion.items()}
    for label in (*pairs, *pairs.values()):
        if not 0 <= label < classes:
            raise ValueError(
                f'confusion names class {label}; there are {classes}, from 0'
            )
    return pairs
