"""The interface of a condition, and helpers that conditions share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import InputError

Floats = npt.NDArray[np.float32]


class RecordingContext(NamedTuple):
    """Context of a waveform.

    Args:
        rate: sampling rate, Hz
        generator: random numbers that depend only on the seed, the condition and the utterance
        voices: returns the given number of recordings of other speakers of the corpus, (samples,) each, at ``rate``

    """

    rate: int
    generator: np.random.Generator
    voices: Callable[[int], Sequence[Floats]]


@dataclass(frozen=True, kw_only=True)
class Condition(ABC):
    """A condition of recording with several levels; subclasses set ``unit``, and limits of the levels.

    Args:
        levels: the levels to measure, mild first

    Raises:
        InputError: there is no level, one occurs twice, or one is outside ``least`` to ``most``

    """

    levels: Sequence[float]

    unit: ClassVar[str]  # meaning of a level
    least: ClassVar[float] = -math.inf
    most: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        check_levels(self, self.levels, least=self.least, most=self.most)

    @property
    def missing(self) -> str:
        """Reason why the condition cannot be measured here; empty if it can."""
        return ""

    @abstractmethod
    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the waveform (samples,) of the recording under the condition; ``wave`` is not modified."""


def check_levels(condition: object, levels: Sequence[float], *, least: float, most: float) -> None:
    """Check the levels of a condition.

    Raises:
        InputError: there is none, one occurs twice, or one is outside ``least`` to ``most``

    """
    values = list(levels)
    if not values or len(set(values)) < len(values) or not all(least <= value <= most for value in values):
        limits = "finite numbers" if math.inf in (most, -least) else f"numbers from {least:g} to {most:g}"
        raise InputError(f"levels of {type(condition).__name__} are {values}; expected distinct {limits}")


def fit_length(wave: Floats, length: int, generator: np.random.Generator) -> Floats:
    """Return ``length`` samples of a wave from a random position on, repeated if it is too short."""
    fitted: Floats = np.resize(np.roll(wave, -int(generator.integers(len(wave)))), length)
    return fitted


def power(wave: npt.NDArray[np.floating]) -> float:
    """Return the mean square of a wave."""
    return float(np.mean(np.square(wave, dtype=np.float64)))


def add_noise(wave: Floats, noise: npt.NDArray[np.floating], *, snr_db: float) -> Floats:
    """Add noise (samples,) at a signal-to-noise ratio of the whole wave; digital silence gets and makes no noise."""
    loudness = power(noise)
    factor = math.sqrt(power(wave) / loudness) * 10 ** (-snr_db / 20) if loudness > 0 else 0.0
    return wave + (factor * noise).astype(np.float32)
