"""Mixtures of two training clips."""

import math

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.errors import InputError


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

    names: tuple[str, ...] = ()

    def __init__(self, *, alpha: float) -> None:
        if not 0 < alpha < math.inf:
            raise InputError(f"augment.alpha is {alpha}; expected a positive number")
        self.alpha = alpha

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return no copies: this augmentation does not change waveforms."""
        return {}

    def augment_batch(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> AugmentedBatch:
        """Return the mixed batch; ``frames`` is not modified.

        Args:
            frames: (B, K, F), zero-padded beyond the end of each clip
            lengths: (B,), number of valid frames of each clip
            mean: (F,), mean of each feature over the training set
            generator: source of the random numbers

        """
        share = float(generator.beta(self.alpha, self.alpha))
        partner = generator.permutation(len(frames))
        mixed_lengths = np.rint(share * lengths + (1 - share) * lengths[partner]).astype(np.int64)
        time = np.arange(mixed_lengths.max())[:, None]  # (K', 1)
        heard = frames[:, : len(time)]
        whole: npt.NDArray[np.float32] = np.where(
            time < lengths[:, None, None], heard, mean
        )  # (B, K', F), padded with the mean
        mixed = share * whole + (1 - share) * whole[partner]
        mixed *= time < mixed_lengths[:, None, None]
        return AugmentedBatch(mixed, mixed_lengths, partner, share)
