"""Copies of a training clip at other speeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import soxr

from ser_lightning.augment.batch_changes import BatchChanges, DrawnAugment, Ints
from ser_lightning.augment.mixup import Mixup
from ser_lightning.errors import check_value


@dataclass(frozen=True, kw_only=True)
class SpeedCopies:
    """Copies of a clip played at other speeds by resampling: length and pitch change together.

    Args:
        factors: speed of each copy; above 1 it is shorter by that factor and its pitch higher by that factor

    Raises:
        InputError: the factors are not distinct numbers from 0.25 to 4 other than 1

    Source: Ko et al. 2015, "Audio augmentation for speech recognition", with factors of 0.9 and 1.1.

    """

    factors: Sequence[float]

    libraries: ClassVar = ("soxr",)

    def __post_init__(self) -> None:
        values = list(self.factors)
        valid = len(set(values)) == len(values) and all(0.25 <= f <= 4 and f != 1 for f in values)
        check_value("augment.factors", values, valid=valid, expected="distinct numbers from 0.25 to 4 without 1")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the copies, in order."""
        return tuple(f"speed{factor:g}" for factor in self.factors)

    def __call__(self, wave: npt.NDArray[np.float32], *, utterance: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the augmented copies of a clip by name, (max(1, samples / factor),); ``wave`` is not modified."""
        copies = (self._played(wave, factor) for factor in self.factors)
        return dict(zip(self.names, copies, strict=True))

    @staticmethod
    def _played(wave: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
        played: npt.NDArray[np.float32] = soxr.resample(wave, factor, 1, quality="HQ")  # only the ratio matters
        return played if len(played) else wave[:1].copy()


@dataclass(frozen=True, kw_only=True)
class MixedSpeedCopies(SpeedCopies, DrawnAugment):
    """Copies at other speeds, and training batches in which clips and copies are mixed in pairs.

    Args:
        factors: as in :class:`SpeedCopies`
        mixup: parameter alpha of :class:`~ser_lightning.augment.mixup.Mixup`

    Raises:
        InputError: a value is out of range

    """

    mixup: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._mixture

    @property
    def _mixture(self) -> Mixup:
        return Mixup(alpha=self.mixup)

    def draw(self, lengths: Ints, *, rows: int, generator: np.random.Generator) -> BatchChanges:
        """Draw the changes of :class:`Mixup`."""
        return self._mixture.draw(lengths, rows=rows, generator=generator)
