"""Copies of a training clip, played faster and slower."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soxr

from ser_lightning.errors import InputError


class SpeedCopies:
    """Copies of a clip at other speeds, as a tape has them: length and pitch change together.

    Args:
        factors: a copy each; above 1 it is shorter by that factor and as much higher

    Raises:
        InputError: factors that are not distinct numbers from 0.25 to 4 without 1

    Source: Ko et al. 2015, "Audio augmentation for speech recognition", with factors of 0.9 and 1.1.

    """

    def __init__(self, *, factors: Sequence[float]) -> None:
        values = list(factors)
        if len(set(values)) < len(values) or not all(0.25 <= f <= 4 and f != 1 for f in values):
            raise InputError(f"augment.factors is {values}; expected distinct numbers from 0.25 to 4 without 1")
        self.factors = tuple(factors)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each copy, in order."""
        return tuple(f"speed{factor:g}" for factor in self.factors)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies of a clip; ``wave`` itself is left alone.

        Args:
            wave: (samples,), full scale 1
            utterance: id of the utterance; nothing here is random

        Returns:
            The copy of each name, (samples / factor,), of one sample at least.

        """
        copies = (self._played(wave, factor) for factor in self.factors)
        return dict(zip(self.names, copies, strict=True))

    @staticmethod
    def _played(wave: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
        played: npt.NDArray[np.float32] = soxr.resample(wave, factor, 1, quality="HQ")  # rates, up to a common unit
        return played if len(played) else wave[:1].copy()
