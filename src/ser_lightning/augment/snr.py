"""Copies of a training clip with noise at given signal-to-noise ratios."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.clip_generator import clip_generator
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class NoiseCopies:
    """Copies of a clip with white Gaussian noise at given signal-to-noise ratios.

    The ratio is exact: it is that of the power of the whole clip to the power of the drawn noise. Digital silence gets
    no noise.

    Args:
        seed: seed of the noise, which depends only on the seed and the utterance id
        decibels: signal-to-noise ratio of each copy, dB

    Raises:
        InputError: the ratios are not distinct finite numbers

    """

    seed: int
    decibels: Sequence[float]

    def __post_init__(self) -> None:
        values = list(self.decibels)
        valid = len(set(values)) == len(values) and all(map(math.isfinite, values))
        check_value("augment.decibels", values, valid=valid, expected="distinct finite numbers")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the copies, in order."""
        return tuple(f"snr{ratio:g}" for ratio in self.decibels)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the augmented copies of a clip by name, (samples,); ``wave`` is not modified."""
        generator = clip_generator(utterance, seed=self.seed)
        copies = (self._noisy(wave, ratio, generator) for ratio in self.decibels)
        return dict(zip(self.names, copies, strict=True))

    @staticmethod
    def _noisy(wave: npt.NDArray[np.float32], ratio: float, generator: np.random.Generator) -> npt.NDArray[np.float32]:
        noise = generator.standard_normal(len(wave))
        power = np.mean(np.square(wave, dtype=np.float64)) / np.mean(np.square(noise))
        scaled = math.sqrt(power) * 10 ** (-ratio / 20) * noise
        return wave + scaled.astype(np.float32)
