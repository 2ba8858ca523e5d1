"""Warped, masked and mixed log-mel spectrograms of training clips."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ser_lightning.augment.augmented_batch import AugmentedBatch
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.errors import InputError, check_value

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugment:
    """Change the speaking rate, vocal tract length and level of each clip, mask it, and mix it with another clip.

    The spectrogram of a clip is resampled along time and along frequency by linear interpolation, with factors and a
    level drawn uniformly for each clip. A clip that becomes shorter in frequency repeats its highest row.

    Args:
        time_warp: largest change of the length of a clip, as a fraction
        frequency_warp: largest change of the frequency axis, as a fraction (vocal tract length perturbation, in mel)
        gain_db: largest change of the level, dB; the features must be in dB
        masks: values of :class:`~ser_lightning.augment.spec_augment.SpecAugment`; None for no masks
        mixup: parameter alpha of :class:`~ser_lightning.augment.mixup.Mixup`; None for no mixtures

    Raises:
        InputError: a value is out of range

    Source: Jaitly & Hinton 2013, vocal tract length perturbation; Ko et al. 2015, speed perturbation

    """

    time_warp: float
    frequency_warp: float
    gain_db: float
    masks: Mapping[str, Any] | None
    mixup: float | None

    def __post_init__(self) -> None:
        for name in ("time_warp", "frequency_warp"):
            value = getattr(self, name)
            check_value(f"augment.{name}", value, valid=0 <= value < 1, expected="a fraction from 0 to below 1")
        valid = 0 <= self.gain_db < math.inf
        check_value("augment.gain_db", self.gain_db, valid=valid, expected="a number of dB of at least 0")
        _ = self.steps

    @cached_property
    def steps(self) -> list[SpecAugment | Mixup]:
        """The augmentations that follow the warping."""
        try:
            masks = [] if self.masks is None else [SpecAugment(**self.masks)]
        except TypeError as error:
            raise InputError(f"augment.masks: {error}; expected the keys of augment=spec_augment, or null") from error
        return [*masks, *([] if self.mixup is None else [Mixup(alpha=self.mixup)])]

    def augment_batch(
        self,
        frames: Floats,
        lengths: npt.NDArray[np.int64],
        *,
        mean: Floats,
        generator: np.random.Generator,
    ) -> AugmentedBatch:
        """Return the augmented batch; see ``ser_lightning.data.augmentation.BatchAugment``."""
        rates, stretches = (
            1 + generator.uniform(-limit, limit, len(frames)) for limit in (self.time_warp, self.frequency_warp)
        )
        gains = generator.uniform(-self.gain_db, self.gain_db, len(frames))
        clips = [
            warp(clip[:length], rate=rate, stretch=stretch) + np.float32(gain)
            for clip, length, rate, stretch, gain in zip(frames, lengths, rates, stretches, gains, strict=True)
        ]
        warped_lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        warped = np.zeros((len(clips), warped_lengths.max(), frames.shape[2]), np.float32)
        for row, clip in zip(warped, clips, strict=True):
            row[: len(clip)] = clip
        batch = AugmentedBatch(warped, warped_lengths, None, 1.0)
        for step in self.steps:
            batch = step.augment_batch(batch.frames, batch.lengths, mean=mean, generator=generator)
        return batch


def warp(frames: Floats, *, rate: float, stretch: float) -> Floats:
    """Resample a spectrogram linearly along time and frequency.

    Args:
        frames: (K, F)
        rate: speaking rate relative to the original; 2 halves the number of frames
        stretch: factor by which the rows move upward from the lowest; rows beyond the highest are lost

    Returns:
        (K', F), with K' = K / rate, rounded, at least 1

    """
    count, rows = frames.shape
    times = np.linspace(0, count - 1, max(1, round(count / rate)))
    return _resample(_resample(frames, times).T, np.arange(rows) / stretch).T.copy()


def _resample(values: Floats, positions: npt.NDArray[np.float64]) -> Floats:
    """Return rows (P, C) of ``values`` (N, C) at fractional positions, linearly interpolated; the ends are repeated."""
    positions = positions.clip(0, len(values) - 1)
    below = np.minimum(positions.astype(np.int64), max(0, len(values) - 2))
    above = np.minimum(below + 1, len(values) - 1)
    share = (positions - below).astype(np.float32)[:, None]
    resampled: Floats = (1 - share) * values[below] + share * values[above]
    return resampled
