"""Copies of a training clip at other levels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class GainCopies:
    """Copies of a clip at other levels, without clipping at full scale.

    Args:
        decibels: change of the level of each copy, dB; negative is softer

    Raises:
        InputError: the levels are not distinct finite numbers other than 0

    """

    decibels: Sequence[float]

    def __post_init__(self) -> None:
        values = list(self.decibels)
        valid = len(set(values)) == len(values) and all(math.isfinite(level) and level != 0 for level in values)
        check_value("augment.decibels", values, valid=valid, expected="distinct finite numbers without 0")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the copies, in order."""
        return tuple(f"gain{level:+g}" for level in self.decibels)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the augmented copies of a clip by name, (samples,); ``wave`` is not modified."""
        copies = (wave * np.float32(10 ** (level / 20)) for level in self.decibels)
        return dict(zip(self.names, copies, strict=True))
