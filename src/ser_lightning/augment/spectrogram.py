"""Warped, masked and mixed log-mel spectrograms of training clips."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ser_lightning.augment.batch_changes import BatchChanges, DrawnAugment, Ints
from ser_lightning.augment.mixup import Mixup
from ser_lightning.augment.spec_augment import SpecAugment
from ser_lightning.errors import InputError, check_value

MASKS = ("masked_rows", "masked_frames")  # what SpecAugment draws
MIXTURE = ("partners", "shares", "mixed_lengths")  # what Mixup draws


@dataclass(frozen=True, kw_only=True)
class SpectrogramAugment(DrawnAugment):
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

    def draw(self, lengths: Ints, *, rows: int, generator: np.random.Generator) -> BatchChanges:
        """Draw the factors and the level of each clip, then its masks, then its partner."""
        limits = (self.time_warp, self.frequency_warp, self.gain_db)
        rates, stretches, gains = (generator.uniform(-limit, limit, len(lengths)) for limit in limits)
        warped_lengths = np.maximum(1, np.rint(lengths / (1 + rates))).astype(np.int64)
        changes = replace(
            BatchChanges.none(lengths),
            warped_lengths=warped_lengths,
            stretches=1 + stretches,
            gains=gains,
            mixed_lengths=warped_lengths,
        )
        for step in self.steps:
            drawn = step.draw(warped_lengths, rows=rows, generator=generator)
            names = MASKS if isinstance(step, SpecAugment) else MIXTURE
            changes = replace(changes, **{name: getattr(drawn, name) for name in names})
        return changes
