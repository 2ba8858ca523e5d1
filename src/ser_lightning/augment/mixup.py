"""Mixtures of two training clips."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class Mixup:
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

    def augment_batch(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> AugmentedBatch:
        """Return the mixed batch; ``frames`` is not modified; see ``ser_lightning.data.augmentation.BatchAugment``."""
        share = float(generator.beta(self.alpha, self.alpha))
        partner = generator.permutation(len(frames))
        mixed_lengths = np.rint(share * lengths + (1 - share) * lengths[partner]).astype(np.int64)
        time = np.arange(mixed_lengths.max())[:, None]  # (K', 1)
        # (B, K', F), padded with the mean
        padded: npt.NDArray[np.float32] = np.where(time < lengths[:, None, None], frames[:, : len(time)], mean)
        mixed = share * padded + (1 - share) * padded[partner]
        mixed *= time < mixed_lengths[:, None, None]
        return AugmentedBatch(mixed, mixed_lengths, partner, share)
