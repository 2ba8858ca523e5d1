"""Quiet, loud and clipped recordings."""

import math
from dataclasses import dataclass

import numpy as np

from ser_lightning.robustness.condition import Condition, Floats, RecordingContext

FULL_SCALE = 2**15  # of 16-bit samples


@dataclass(frozen=True, kw_only=True)
class Gain(Condition):
    """Another gain of a 16-bit recorder: quiet samples are rounded, and loud samples are clipped at full scale.

    Args:
        levels: changes of the level, dB

    """

    unit = "dB gain"
    least, most = -200, 200

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave at another level."""
        samples = np.round(wave * (10 ** (level / 20) * FULL_SCALE))
        return (np.clip(samples, -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Clipping(Condition):
    """Samples beyond a limit are set to the limit.

    Args:
        levels: shares of the samples that are clipped, %

    """

    unit = "% of the samples clipped"
    least, most = 0, 100

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the clipped wave."""
        limit = float(np.quantile(np.abs(wave), 1 - level / 100))
        return np.clip(wave, -limit, limit) if math.isfinite(limit) else wave
