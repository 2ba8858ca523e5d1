"""Copies of a training clip in noise of a known level."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.draw import generator_of
from ser_lightning.errors import InputError


class NoiseCopies:
    """Copies of a clip in white Gaussian noise at given ratios of signal to noise.

    The ratio is that of the powers of the whole clip and of the noise it gets, exactly; digital silence gets none.

    Args:
        seed: of the noise; the noise of a clip depends on the seed and the utterance id, on no other clip
        decibels: a copy each, with the signal so much above the noise

    Raises:
        InputError: ratios that are not distinct finite numbers

    """

    def __init__(self, *, seed: int, decibels: Sequence[float]) -> None:
        values = list(decibels)
        if len(set(values)) < len(values) or not all(math.isfinite(ratio) for ratio in values):
            raise InputError(f"augment.decibels is {values}; expected distinct finite numbers")
        self.seed = seed
        self.decibels = tuple(decibels)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each copy, in order."""
        return tuple(f"snr{ratio:g}" for ratio in self.decibels)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Make the copies of a clip; ``wave`` itself is left alone.

        Args:
            wave: (samples,), full scale 1
            utterance: id of the utterance, the seed of its own noise

        Returns:
            The copy of each name, (samples,).

        """
        generator = generator_of(utterance, seed=self.seed)
        copies = (self._noisy(wave, ratio, generator) for ratio in self.decibels)
        return dict(zip(self.names, copies, strict=True))

    @staticmethod
    def _noisy(wave: npt.NDArray[np.float32], ratio: float, generator: np.random.Generator) -> npt.NDArray[np.float32]:
        noise = generator.standard_normal(len(wave))
        power = np.mean(np.square(wave, dtype=np.float64)) / np.mean(np.square(noise))
        scaled = math.sqrt(power) * 10 ** (-ratio / 20) * noise
        return wave + scaled.astype(np.float32)
