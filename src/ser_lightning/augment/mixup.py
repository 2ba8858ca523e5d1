"""Mixtures of two training clips."""

import math

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.altered import Altered
from ser_lightning.errors import InputError


class Mixup:
    """Every clip of a batch mixed with another of it, drawn anew in every batch: features, label and length.

    A share lambda ~ Beta(alpha, alpha) is drawn for the batch and a partner for every clip; the mixture has lambda of
    the one and the rest of the other, and so has its label. Clips differ in length, which the paper's images do not:
    the mixture is as long as lambda of the one length and the rest of the other, and where a clip is over before, it
    contributes the mean of the training set, which a network that standardises makes 0.

    Args:
        alpha: of the distribution; small, most mixtures are nearly one of the two clips

    Raises:
        InputError: alpha is no positive number

    Source: Zhang et al. 2018, "mixup: beyond empirical risk minimization", equation 2; one share a batch as in their
    code.

    """

    names: tuple[str, ...] = ()

    def __init__(self, *, alpha: float) -> None:
        if not 0 < alpha < math.inf:
            raise InputError(f"augment.alpha is {alpha}; expected a positive number")
        self.alpha = alpha

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make no copy of a waveform."""
        return {}

    def alter(
        self,
        frames: npt.NDArray[np.float32],
        lengths: npt.NDArray[np.int64],
        *,
        mean: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> Altered:
        """Mix a batch, which is left alone.

        Args:
            frames: (B, K, F), zero beyond each clip's end
            lengths: (B,), frames of each clip that are real
            mean: (F,), of each row over the training set
            generator: of random numbers

        """
        share = float(generator.beta(self.alpha, self.alpha))
        partner = generator.permutation(len(frames))
        mixed_lengths = np.rint(share * lengths + (1 - share) * lengths[partner]).astype(np.int64)
        time = np.arange(mixed_lengths.max())[:, None]  # (K', 1)
        heard = frames[:, : len(time)]
        whole: npt.NDArray[np.float32] = np.where(
            time < lengths[:, None, None], heard, mean
        )  # (B, K', F), continued by the mean
        mixed = share * whole + (1 - share) * whole[partner]
        mixed *= time < mixed_lengths[:, None, None]
        return Altered(mixed, mixed_lengths, partner, share)
