"""Mixtures of two training clips."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ser_lightning.augment.batch_changes import BatchChanges, DrawnAugment, Ints
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class Mixup(DrawnAugment):
    """Mix each clip of a batch with another clip of the batch: features, label and length.

    For each batch, a share lambda ~ Beta(alpha, alpha) and a random partner for each clip are drawn. The mixture is
    lambda times the clip plus (1 - lambda) times its partner, and so is its label. Unlike the images of the paper,
    clips differ in length: the length of the mixture is mixed in the same way, and a clip that is shorter is continued
    by the mean of the training set, which is 0 in a network that standardizes its input.

    Args:
        alpha: parameter of the distribution; if it is small, most mixtures are close to one of the two clips

    Raises:
        InputError: alpha is not a positive number

    Source: Zhang et al. 2018, "mixup: beyond empirical risk minimization", equation 2; one share per batch, as in their
    code.

    """

    alpha: float

    def __post_init__(self) -> None:
        check_value("augment.alpha", self.alpha, valid=0 < self.alpha < math.inf, expected="a positive number")

    def draw(self, lengths: Ints, *, rows: int, generator: np.random.Generator) -> BatchChanges:
        """Draw the share of the batch and the partner of each clip."""
        share = float(generator.beta(self.alpha, self.alpha))
        partners = generator.permutation(len(lengths))
        mixed_lengths = np.rint(share * lengths + (1 - share) * lengths[partners]).astype(np.int64)
        shares = np.full(len(lengths), share)
        return replace(BatchChanges.none(lengths), partners=partners, shares=shares, mixed_lengths=mixed_lengths)
