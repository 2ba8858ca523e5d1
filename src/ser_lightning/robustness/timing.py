"""Speed, silence around the speech, and cut recordings."""

from dataclasses import dataclass

import numpy as np
import soxr

from ser_lightning.robustness.condition import Condition, Floats, RecordingContext


@dataclass(frozen=True, kw_only=True)
class Speed(Condition):
    """Another speed, which shifts the pitch as well.

    Args:
        levels: factors of the speed; above 1 is faster and higher

    """

    unit = "times the speed"
    least, most = 0.1, 10

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave at another speed."""
        changed: Floats = soxr.resample(wave, recording.rate * level, recording.rate)
        return changed if len(changed) else wave


@dataclass(frozen=True, kw_only=True)
class Silence(Condition):
    """Quiet white noise before and after the recording.

    Args:
        levels: duration of the silence on each side, seconds
        noise_db: level of the noise, dB relative to full scale

    """

    noise_db: float
    unit = "s silence on each side"
    least, most = 0, 3600

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the wave with silence around it."""
        noise = recording.generator.standard_normal((2, int(level * recording.rate)))
        before, after = (noise * 10 ** (self.noise_db / 20)).astype(np.float32)
        return np.concatenate([before, wave, after])


@dataclass(frozen=True, kw_only=True)
class Truncation(Condition):
    """Only the middle of the recording.

    Args:
        levels: duration that is kept, seconds; a shorter recording is unchanged

    """

    unit = "s kept"
    least, most = 0.001, 3600

    def __call__(self, wave: Floats, level: float, recording: RecordingContext) -> Floats:
        """Return the middle of the wave."""
        length = max(1, int(level * recording.rate))
        start = max(0, (len(wave) - length) // 2)
        return wave[start : start + length]
