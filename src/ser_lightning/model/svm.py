"""Support vector machine on one vector a clip."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ser_lightning.model.fitting import Choice, check_clips, clip_means, frames_in_a_row
from ser_lightning.model.layers import Standardize
from ser_lightning.model.support_vectors import SupportVectorMachine


class SVM(nn.Module):
    """Support vector machine with a Gaussian kernel, on the mean over a clip's frames.

    The most probable class is what scikit-learn's ``SVC(break_ties=True)`` predicts; the probabilities are the softmax
    of its one-vs-rest scores under a temperature: see
    :class:`~ser_lightning.model.support_vectors.SupportVectorMachine`. Nothing in it is random: every seed gives the
    same model.

    Args:
        features: rows of the input
        classes: logits of the output
        standardize: remove mean and deviation of the training set from each row first
        c: costs of an error (scikit-learn's C) to choose from
        gamma: of the kernel, in multiples of scikit-learn's ``scale``, to choose from
        class_weight: ``balanced``: every class counts alike, however many clips it has; else every clip
        folds: of inner validation, over speakers

    Raises:
        ValueError: a number out of its range

    """

    def __init__(
        self,
        *,
        features: int,
        classes: int,
        standardize: bool,
        c: Sequence[float],
        gamma: Sequence[float],
        class_weight: Literal["balanced"] | None,
        folds: int,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(features=features) if standardize else None
        self.machine = SupportVectorMachine(
            features=features, classes=classes, c=c, gamma=gamma, class_weight=class_weight, folds=folds
        )

    @property
    def choice(self) -> Choice:
        """What inner validation chose."""
        return self.machine.choice

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probabilities of each clip.

        Args:
            features: (B, F, K), zero beyond each clip's end
            lengths: (B,), frames of each clip

        Returns:
            (B, classes)

        """
        logits: Tensor = self.machine(
            clip_means(frames_in_a_row(features, lengths), lengths, standardize=self.standardize)
        )
        return logits

    @torch.no_grad()
    def fit(self, *, frames: Tensor, lengths: Tensor, targets: Tensor, groups: Sequence[str], seed: int) -> None:
        """Choose C and gamma, fit to all clips; see :class:`~ser_lightning.model.fitting.Fitted`."""
        check_clips(targets)
        x = clip_means(frames, lengths, standardize=self.standardize)
        self.machine.fit(lambda _: x, targets=targets, groups=groups)
