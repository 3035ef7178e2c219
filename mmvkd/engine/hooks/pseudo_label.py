"""Labels that training refines, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmvkd.datasets import SeededDataset
from mmvkd.engine.wrapping import unwrap
from mmvkd.models import VideoDistiller
from mmvkd.models.label_bank import LabelBank
from mmvkd.models.losses.numerics import check_at_least, check_share
from mmvkd.models.recognizers import is_multi_label
from mmvkd.refined_labels import LABELS, accuracy, list_lines
from mmvkd.registry import HOOKS


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    r"""Lets a distiller learn from soft labels that predictions refine.

    After arXiv 2307.05201; our reading. The labels are a
    :class:`~mmvkd.models.label_bank.LabelBank`, which states the equations. It is given
    to the model before training, moves at the end of each epoch, before the checkpoint,
    and is saved in each checkpoint, from which ``tools/export_labels.py`` reads it. The
    student's own head learns from soft labels, heads that need hard ones take the most
    likely class, and clips that have none yet stay out of every loss on labels.
    Training uses the bank's labels from the start: in the warm-up, these are the given
    ones.

    Where the data set knows the truth (:class:`~mmvkd.datasets.WeakLabels`), the log
    says how often labels are right.

    Args:
        warmup: Epochs before given labels move.
        momentum: :math:`\beta`, the share of itself that a label keeps in an epoch.
        teacher_weight: :math:`\gamma`, the teachers' share in a prediction; without
            teachers, the prediction is the student's own.
        threshold: :math:`\theta`; a prediction moves the label if its largest
            probability is above it.
        teachers: Names of the teachers that count; None for all.

    Raises:
        ValueError: for settings out of range.
    """

    bank: LabelBank

    def __init__(
        self,
        warmup: int = 1,
        momentum: float = 0.4,
        teacher_weight: float = 0.8,
        threshold: float = 0.5,
        teachers: Optional[Sequence[str]] = None,
    ) -> None:
        check_at_least(0, warmup, 'warmup')
        shares = dict(
            momentum=momentum, teacher_weight=teacher_weight, threshold=threshold
        )
        for name, value in shares.items():
            check_share(value, name)
        self.warmup = warmup
        self.shares = shares
        self.teachers = teachers
        self._told: dict[str, Any] = {}
        self._resumed: Optional[Mapping[str, Any]] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the labels of a resumed run.

        Raises:
            RuntimeError: if its checkpoint has none.
        """
        # testing loads without resuming
        if not runner._resume or 'optimizer' not in checkpoint:
            return
        if LABELS not in checkpoint:
            raise RuntimeError(
                'the checkpoint was written without PseudoLabelHook, so the run cannot '
                'go on with its labels: start a new run, with load_from=CHECKPOINT'
            )
        self._resumed = checkpoint[LABELS]

    def before_train(self, runner: Runner) -> None:
        """Give the labels to the model.

        Raises:
            RuntimeError: if those of the resumed run are of another list.
            TypeError: for a run by iterations, or data without sample ids.
            ValueError: for several labels per clip, blending, or unfit teachers.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise TypeError(
                'PseudoLabelHook moves labels at the ends of epochs; '
                f'{type(runner.train_loop).__name__} has none: train by epochs'
            )
        model = unwrap(runner.model)
        dataset = _checked(model, runner.train_dataloader)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        given = torch.tensor([info['label'] for info in infos])
        clean = [info.get('clean_label', -1) for info in infos]
        self._told = dict(list_lines(dataset), clean=torch.tensor(clean), history=[])
        teachers = tuple(model.cards) if self.teachers is None else self.teachers
        classes = model.student.cls_head.num_classes
        _check_teachers(model, teachers, classes, bool((given < 0).any()))
        self.bank = LabelBank(given, classes, teachers, **self.shares)
        if self._resumed is not None:
            if self._resumed['lines'] != self._told['lines']:
                raise RuntimeError(
                    'the checkpoint has labels of other clips than the training list, '
                    'or in another order: resume with the same list'
                )
            self.bank.restore(self._resumed)
            self._told['history'] = self._resumed['history']
            self._resumed = None
        else:
            self._tell(runner, epoch=0, moved=0)
        model.learn_from(self.bank)

    def before_train_epoch(self, runner: Runner) -> None:
        """Forget predictions noted before."""
        self.bank.forget()

    def after_train_epoch(self, runner: Runner) -> None:
        """Move the labels."""
        epoch = runner.epoch + 1
        moved = self.bank.update(refine=epoch > self.warmup)
        self._tell(runner, epoch, moved)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the labels."""
        checkpoint[LABELS] = self._state()

    def _state(self) -> dict[str, Any]:
        return dict(self.bank.state(), **self._told)

    def _tell(self, runner: Runner, epoch: int, moved: int) -> None:
        """Log an epoch's numbers, and keep them for the picture."""
        now = dict(
            epoch=epoch,
            labeled=int(self.bank.known.sum()),
            moved=moved,
            accuracy=accuracy(self._state()),
        )
        self._told['history'].append(now)
        right = '' if now['accuracy'] is None else f', {now["accuracy"]:.1%} right'
        runner.logger.info(
            f'labels after epoch {epoch}: {now["labeled"]} of {len(self.bank.given)} '
            f'clips have one{right}; {moved} came or moved'
        )


def _checked(model: Any, dataloader: DataLoader) -> SeededDataset:
    """The training set, if model and data can have soft labels.

    Raises:
        TypeError: for any other model or data set.
        ValueError: for several labels per clip, or blending.
    """
    if not isinstance(model, VideoDistiller):
        raise TypeError(
            f'PseudoLabelHook is for a mmvkd.VideoDistiller, got {type(model).__name__}'
        )
    dataset = dataloader.dataset
    if not isinstance(dataset, SeededDataset):
        raise TypeError(
            'PseudoLabelHook needs samples with an id; the train_dataloader has a '
            f'{type(dataset).__name__}: wrap it in mmvkd.SeededDataset'
        )
    if is_multi_label(model.student):
        raise ValueError(
            'PseudoLabelHook needs classes that exclude each other; the student is '
            'multi-label (multi_class=True, or a binary loss)'
        )
    blending = model.student.data_preprocessor.blending
    if blending is not None:
        raise ValueError(
            f'{type(blending).__name__} blends clips, whose predictions are those of '
            "none of them; PseudoLabelHook needs it off in the student's "
            'data_preprocessor'
        )
    return dataset


def _check_teachers(
    model: VideoDistiller, names: Sequence[str], classes: int, needed: bool
) -> None:
    """Refuse teachers that do not exist, or have other classes."""
    there = ', '.join(model.cards) or 'none'
    for name in names:
        if name not in model.cards:
            raise ValueError(
                f"PseudoLabelHook names teacher '{name}'; the config has {there}"
            )
        card = model.cards[name]
        if card.multi_label or card.num_classes != classes:
            raise ValueError(
                f"PseudoLabelHook: teacher '{name}' has {card.num_classes} classes, "
                f'the student {classes}, which must exclude each other; name others '
                f'in teachers=[...]; the config has {there}'
            )
    if needed and not names:
        raise ValueError(
            'PseudoLabelHook gives clips without a label (-1) that of the teachers, '
            'and there is none; add one to `teachers` of the model'
        )
